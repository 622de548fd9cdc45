# Embedded data: drawn on the fly, the same for the same seed and index on every machine.
taxonomy = dict(
    classes=['clutter', 'disk', 'square', 'triangle'],
    groups=[
        dict(name='disk', members=['disk'], fine_classes=['red disk', 'yellow disk', 'green disk', 'blue disk']),
        dict(name='square', members=['square'], fine_classes=['red square', 'yellow square', 'green square', 'blue square']),
        dict(
            name='triangle',
            members=['triangle'],
            fine_classes=['red triangle', 'yellow triangle', 'green triangle', 'blue triangle']),
    ])
