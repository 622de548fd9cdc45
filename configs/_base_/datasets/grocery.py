# Groceries in shops (Klasson et al., WACV 2019): 81 products in 43 groups, pictures of 224 pixels, no masks.
# data_root is the output of tools/dataset_converters/threshold_masks.py: images/{train,val}/*.jpg, masks/train/*.png and labels.csv:
# docs/grocery.md has the commands.
data_root = 'data/grocery_masks'
_products = {
    'Apple': ['Golden-Delicious', 'Granny-Smith', 'Pink-Lady', 'Red-Delicious', 'Royal-Gala'],
    'Avocado': ['Avocado'],
    'Banana': ['Banana'],
    'Kiwi': ['Kiwi'],
    'Lemon': ['Lemon'],
    'Lime': ['Lime'],
    'Mango': ['Mango'],
    'Melon': ['Cantaloupe', 'Galia-Melon', 'Honeydew-Melon', 'Watermelon'],
    'Nectarine': ['Nectarine'],
    'Orange': ['Orange'],
    'Papaya': ['Papaya'],
    'Passion-Fruit': ['Passion-Fruit'],
    'Peach': ['Peach'],
    'Pear': ['Anjou', 'Conference', 'Kaiser'],
    'Pineapple': ['Pineapple'],
    'Plum': ['Plum'],
    'Pomegranate': ['Pomegranate'],
    'Red-Grapefruit': ['Red-Grapefruit'],
    'Satsumas': ['Satsumas'],
    'Juice': [
        'Bravo-Apple-Juice',
        'Bravo-Orange-Juice',
        'God-Morgon-Apple-Juice',
        'God-Morgon-Orange-Juice',
        'God-Morgon-Orange-Red-Grapefruit-Juice',
        'God-Morgon-Red-Grapefruit-Juice',
        'Tropicana-Apple-Juice',
        'Tropicana-Golden-Grapefruit',
        'Tropicana-Juice-Smooth',
        'Tropicana-Mandarin-Morning',
    ],
    'Milk': [
        'Arla-Ecological-Medium-Fat-Milk',
        'Arla-Lactose-Medium-Fat-Milk',
        'Arla-Medium-Fat-Milk',
        'Arla-Standard-Milk',
        'Garant-Ecological-Medium-Fat-Milk',
        'Garant-Ecological-Standard-Milk',
    ],
    'Oatghurt': ['Oatly-Natural-Oatghurt'],
    'Oat-Milk': ['Oatly-Oat-Milk'],
    'Sour-Cream': ['Arla-Ecological-Sour-Cream', 'Arla-Sour-Cream'],
    'Sour-Milk': ['Arla-Sour-Milk'],
    'Soyghurt': ['Alpro-Blueberry-Soyghurt', 'Alpro-Vanilla-Soyghurt'],
    'Soy-Milk': ['Alpro-Fresh-Soy-Milk', 'Alpro-Shelf-Soy-Milk'],
    'Yoghurt': [
        'Arla-Mild-Vanilla-Yoghurt',
        'Arla-Natural-Mild-Low-Fat-Yoghurt',
        'Arla-Natural-Yoghurt',
        'Valio-Vanilla-Yoghurt',
        'Yoggi-Strawberry-Yoghurt',
        'Yoggi-Vanilla-Yoghurt',
    ],
    'Asparagus': ['Asparagus'],
    'Aubergine': ['Aubergine'],
    'Cabbage': ['Cabbage'],
    'Carrots': ['Carrots'],
    'Cucumber': ['Cucumber'],
    'Garlic': ['Garlic'],
    'Ginger': ['Ginger'],
    'Leek': ['Leek'],
    'Mushroom': ['Brown-Cap-Mushroom'],
    'Onion': ['Yellow-Onion'],
    'Pepper': ['Green-Bell-Pepper', 'Orange-Bell-Pepper', 'Red-Bell-Pepper', 'Yellow-Bell-Pepper'],
    'Potato': ['Floury-Potato', 'Solid-Potato', 'Sweet-Potato'],
    'Red-Beet': ['Red-Beet'],
    'Tomato': ['Beef-Tomato', 'Regular-Tomato', 'Vine-Tomato'],
    'Zucchini': ['Zucchini'],
}
taxonomy = dict(
    classes=['background', *_products],
    groups=[dict(name=kind, members=[kind], fine_classes=products) for kind, products in _products.items()],
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='deepunetto_mm.LoadRegions', min_area=400),
    # A square of 43 to 100 % of the picture's area, brought to 160 pixels.
    dict(type='RandomResize', scale=(299, 224), ratio_range=(0.72, 1.08), keep_ratio=True),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(160, 160)),
    dict(type='RandomFlip', prob=0.5),
    # No other hue: a bell pepper's is its name.
    dict(type='mmpretrain.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.2, backend='cv2'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=400),
]
# Threshold masks are not a ground truth to test on: validation only has fine classes.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.PackRegionInputs')]
_dataset = dict(type='deepunetto_mm.CoarseFineDataset', data_root=data_root, metainfo=dict(taxonomy=taxonomy))
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        split='train',
        pipeline=train_pipeline,
        **_dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='images/val'), mask_files=False, split='val', pipeline=test_pipeline, **_dataset
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='deepunetto_mm.PictureAccuracy')]
test_evaluator = val_evaluator
