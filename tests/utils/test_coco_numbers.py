from deepunetto_mm.utils.coco_numbers import restore_numbers


def test_whole_numbers_are_restored_wherever_coco_has_them():
    content = dict(
        images=[dict(id='7', height=480.0, width=' 640 ', file_name='7')],
        annotations=[dict(id=1.0, image_id='7', category_id='-2', iscrowd='0', area='12.5', bbox=['1', '2'])],
        panoptic=[dict(segments_info=[dict(id='3', category_id=4.0)])],
    )
    restore_numbers(content)
    assert content['images'] == [dict(id=7, height=480, width=640, file_name='7')]
    (annotation,) = content['annotations']
    assert annotation == dict(id=1, image_id=7, category_id=-2, iscrowd=0, area='12.5', bbox=['1', '2'])
    assert content['panoptic'][0]['segments_info'] == [dict(id=3, category_id=4)]
    assert all(type(annotation[key]) is int for key in ('id', 'image_id', 'category_id', 'iscrowd'))


def test_what_is_not_a_whole_number_stays_for_the_reader_to_refuse():
    values = ['', '1.5', 'seven', 2.5, None, True, [1], '9' * 19, 1e300]
    content = dict(images=[dict(id=value) for value in values])
    restore_numbers(content)
    assert [entry['id'] for entry in content['images']] == values


def test_any_content_is_taken():
    for content in (None, 3, [], {}, dict(images=None), dict(images=[None, 'a']), dict(images=[dict(segments_info=3)])):
        restore_numbers(content)
