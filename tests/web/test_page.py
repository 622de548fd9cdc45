"""The page in a real browser; skipped without one."""

import csv
import io
import shutil
import threading
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip('fastapi')
pytest.importorskip('uvicorn')
pytest.importorskip('playwright.sync_api')

import uvicorn
from playwright import sync_api

from deepunetto_mm.apis import load_model
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.web import Gallery, TrainedModel, make_app

CHROMIUM = shutil.which('chromium')
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no chromium')


@pytest.fixture(scope='module')
def browser():
    with sync_api.sync_playwright() as playwright:
        options = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        browser.new_page().close()  # starting the browser is not part of the first test's time
        yield browser
        browser.close()


@pytest.fixture
def model(request, make_model):
    """The colours, or what a test's parameter makes."""
    return getattr(request, 'param', make_model)()


class TwoPictures:
    """Test data: of the first picture a rod was missed and a bead named wrongly, of the second all is right."""

    def start(self):
        pass

    def describe(self, start):
        found = [dict(name='a.png', pairs=[[2, 3], [0, 1], [1, 1]]), dict(name='b.png', pairs=[[0, 0]])]
        return dict(total=2, error='', pictures=found[start:])

    def open(self, index):
        return 'a.png', np.zeros((6, 8, 3), np.uint8), ['1 of 3 right']


@pytest.fixture
def address(model):
    app = make_app(Gallery(model), TwoPictures())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level='error'))
    listening = server.config.bind_socket()
    listening.listen()  # what the browser asks before the server has started waits
    thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listening]))
    thread.start()
    yield f'http://127.0.0.1:{listening.getsockname()[1]}'
    server.should_exit = True
    thread.join()


@pytest.fixture
def open_page(browser, address):
    """A page of a size; afterwards no script has failed, and nothing was asked of another server."""
    faults, contexts = [], []

    def make(width=1280, height=720, pictures=False):
        contexts.append(browser.new_context(viewport=dict(width=width, height=height)))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on('pageerror', lambda error: faults.append(str(error)))
        page.on('console', lambda message: message.type == 'error' and faults.append(message.text))
        page.on('request', lambda one: one.url.startswith((address, 'data:', 'blob:')) or faults.append(one.url))
        page.goto(address)
        page.get_by_text('Drop pictures or a folder here').wait_for(state='hidden' if pictures else 'visible')
        return page

    make.expected = ['status of 422']
    yield make
    for context in contexts:
        context.close()
    assert [fault for fault in faults if not any(words in fault for words in make.expected)] == []


@pytest.fixture
def scene(png):
    """120x80 pixels: a red bead, a blue one, a rod, by area."""
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[10:40, 10:50, 2] = 200
    picture[10:30, 70:100, 0] = 200
    picture[60:70, 20:60, 1] = 200
    return png(picture)


def _add(page, *files):
    page.locator('#files').set_input_files(
        [dict(name=name, mimeType='image/png', buffer=content) for name, content in files]
    )


def _rows(page):
    return [row.split('\t') for row in page.locator('tbody').inner_text().splitlines()]


def _point(page, x, y):
    """Where a pixel of the picture is on the screen."""
    box = page.locator('#photo').bounding_box()
    return box['x'] + (x + 0.5) * box['width'] / 120, box['y'] + (y + 0.5) * box['height'] / 80


def test_a_picture_is_corrected_by_mouse_and_keys_and_saved(open_page, scene, model):
    page = open_page()
    _add(page, ('a.png', scene))
    page.locator('tbody tr').nth(2).wait_for()
    assert _rows(page) == [
        ['red bead', 'bead', '75%', '1,200'],
        ['blue bead', 'bead', '75%', '600'],
        ['rod', 'rod', '88%', '400'],
    ]
    assert page.locator('#labels span').all_inner_texts() == ['red bead', 'blue bead', 'rod']
    page.mouse.move(*_point(page, 85, 20))
    page.locator('#tip', has_text='blue bead75%').wait_for()
    page.mouse.click(*_point(page, 85, 20))
    page.locator('#region .title', has_text='blue bead').wait_for()
    assert page.locator('#likely b').all_inner_texts() == ['1blue bead', '2red bead', '3rod']
    page.keyboard.press('2')
    page.locator('tbody tr[aria-current=true]', has_text='red bead').locator('.mark').wait_for()
    page.keyboard.press('n')
    page.locator('#region .title', has_text='rod').wait_for()
    page.keyboard.press('Delete')
    page.locator('tr.dropped', has_text='rod').wait_for()
    assert page.locator('#labels span').all_inner_texts() == ['red bead', 'red bead']

    page.reload()  # the server has the corrections
    page.locator('tr.dropped', has_text='rod').wait_for()
    page.locator('#save summary').click()
    with page.expect_download() as download:
        page.locator('[data-save=csv]').click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [(row['fine_class'], row['predicted']) for row in rows] == [
        ('red bead', 'red bead'),
        ('red bead', 'blue bead'),
    ]
    page.locator('#save summary').click()
    with page.expect_download() as download:
        page.locator('[data-save=training]').click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.read('labels.csv').decode() == 'image,region,fine_class\na,1,red bead\na,2,red bead\n'
    page.locator('#save summary').click()
    with page.expect_download() as download:
        page.locator('[data-save=png]').click()
    assert download.value.suggested_filename == 'a_regions.png'
    drawn = cv2.imdecode(np.fromfile(download.value.path(), np.uint8), cv2.IMREAD_COLOR)
    colour = np.array(model.names.fine_palette[0])  # of red beads, which both are now
    tinted = 0.55 * np.array([200, 0, 0]) + 0.45 * colour
    np.testing.assert_allclose(drawn[30, 40, ::-1], tinted, atol=2)
    assert (drawn[65, 40] == (0, 200, 0)).all()  # dropped
    assert not drawn[50, 110].any()


def test_quick_keys_and_another_tab_lose_nothing(open_page, scene):
    page = open_page()
    _add(page, ('a.png', scene))
    page.locator('tbody tr').nth(2).wait_for()
    page.wait_for_load_state('networkidle')
    page.locator('tbody tr').nth(1).focus()
    for key in ('Enter', '2', 'Delete', 'Delete', 'Delete'):
        page.keyboard.press(key)
    page.locator('tr.dropped[aria-current=true]', has_text='red bead').locator('.mark').wait_for()
    page.locator('tr.dropped:focus').wait_for()  # and not lost as the rows are drawn again
    page.keyboard.press('ArrowUp')
    page.locator('#region .title', has_text='red bead').wait_for()
    other = open_page(pictures=True)
    other.locator('tbody tr').nth(2).click()
    other.keyboard.press('2')
    other.locator('tr[aria-current=true] .mark').wait_for()
    page.locator('tbody tr').nth(2).click()
    page.get_by_role('button', name='Drop', exact=True).click()
    dropped = page.locator('tr.dropped[aria-current=true]')
    dropped.locator('.mark').wait_for()  # the other tab's name
    page.locator('button:focus', has_text='Keep').wait_for()
    for each in (other, page):
        each.on('dialog', lambda dialog: dialog.accept())
    open_page.expected.append('status of 404')
    other.get_by_label('Remove a.png').click()
    other.get_by_text('Drop pictures or a folder here').wait_for()
    page.get_by_label('Remove a.png').click()
    page.get_by_text('Drop pictures or a folder here').wait_for()


def test_a_picture_that_comes_late_does_not_replace_another(open_page, scene, png):
    page = open_page()
    _add(page, ('a.png', scene), ('b.png', png(np.zeros((20, 20, 3), np.uint8))))
    page.locator('.thumb').nth(1).wait_for()
    page.wait_for_load_state('networkidle')
    held = []
    page.route('**/pictures/2/regions', lambda route: held.append(route))
    page.keyboard.press(']')
    page.locator('.thumb[aria-current=true]', has_text='b.png').wait_for()
    page.keyboard.press('[')
    page.locator('tbody tr').nth(2).wait_for()
    held[0].continue_()
    page.wait_for_load_state('networkidle')
    assert page.locator('#photo').get_attribute('src') == '/api/pictures/1/picture.png'
    assert page.locator('#fill').get_attribute('width') == '120'


def test_what_is_clicked_while_another_picture_comes_is_corrected(open_page, scene, png):
    page = open_page()
    rods = np.zeros((40, 60, 3), np.uint8)
    rods[5:15, 10:40, 1] = rods[25:30, 10:40, 1] = 200
    _add(page, ('a.png', scene), ('b.png', png(rods)))
    page.locator('.thumb').nth(1).wait_for()
    page.wait_for_load_state('networkidle')
    page.locator('tbody tr', has_text='blue bead').click()
    old = page.locator('#likely button', has_text='red bead').element_handle()
    held = []
    page.route('**/pictures/2/regions', lambda route: held.append(route))
    page.keyboard.press(']')
    page.locator('.thumb[aria-current=true]', has_text='b.png').wait_for()
    # The table and the panel are of the new picture, before its map has come.
    assert [row[0] for row in _rows(page)] == ['rod', 'rod']
    assert page.locator('#region').inner_text().splitlines()[0] == 'In this picture'
    with page.expect_request(lambda one: one.method == 'PATCH') as corrected:
        old.evaluate('(button) => button.click()')
    number = page.evaluate("pictures[0].regions.find((region) => region.fine_class === 'blue bead').id")
    assert corrected.value.url.endswith(f'/api/pictures/1/regions/{number}')
    page.locator('.thumb', has_text='3 regions · 1 ✎').wait_for()
    held[0].continue_()
    page.locator('#photo[src="/api/pictures/2/picture.png"]').wait_for()
    assert [row[0] for row in _rows(page)] == ['rod', 'rod']
    assert page.locator('tbody .mark').count() == 0


def test_what_is_done_before_the_first_picture_is_painted_draws_nothing_wrong(open_page, scene):
    page = open_page()
    held = []
    page.route('**/pictures/1/picture.png', lambda route: held.append(route))
    with page.expect_request('**/pictures/1/picture.png'):  # asked once the map of regions is there
        _add(page, ('a.png', scene))
    page.locator('tbody tr').nth(2).click()  # an outline has no width yet
    page.locator('#viewer').hover()
    page.mouse.wheel(0, -100)
    page.get_by_label('Zoom in').click()
    assert page.locator('[data-save=png]').is_disabled()
    assert page.locator('[data-save=csv]').is_enabled()
    held[0].continue_()
    page.wait_for_function("document.querySelector('#focus').width === 120")
    assert page.locator('#region .title').inner_text().startswith('rod')
    outlined = page.evaluate(
        "[...document.querySelector('#focus').getContext('2d').getImageData(20, 60, 1, 1).data].join(' ')"
    )
    assert outlined == '255 255 255 255'
    assert page.locator('[data-save=png]').is_enabled()


def test_filters_sorting_and_zoom(open_page, scene):
    page = open_page()
    _add(page, ('a.png', scene))
    page.locator('tbody tr').nth(2).wait_for()
    page.get_by_role('button', name='Score').click()
    assert [row[0] for row in _rows(page)] == ['rod', 'red bead', 'blue bead']
    assert page.locator('th[data-key=score]').get_attribute('aria-sort') == 'descending'
    page.get_by_role('button', name='Name').click()
    assert [row[0] for row in _rows(page)] == ['blue bead', 'red bead', 'rod']
    page.get_by_role('button', name='bead 2').click()
    assert page.locator('#labels span').all_inner_texts() == ['rod']
    page.get_by_role('button', name='bead 2').click()
    page.get_by_label('Minimum score').fill('80')
    page.locator('tr.outside').nth(1).wait_for()
    assert page.locator('#labels span').all_inner_texts() == ['rod']
    assert page.locator('tr.outside').count() == 2
    page.get_by_label('Minimum score').fill('0')
    before = page.locator('#photo').bounding_box()['width']
    page.mouse.move(*_point(page, 40, 20))
    page.mouse.wheel(0, -300)
    larger = page.locator('#photo').bounding_box()['width']
    assert larger > 1.5 * before
    page.set_viewport_size(dict(width=1200, height=700))
    page.set_viewport_size(dict(width=1280, height=720))
    assert page.locator('#photo').bounding_box()['width'] == larger
    page.locator('#tip', has_text='red bead').wait_for(state='hidden')
    page.mouse.click(*_point(page, 40, 20))  # where it was: the picture grew about the pointer
    page.locator('#region .title', has_text='red bead').wait_for()
    page.get_by_role('button', name='Fit').click()
    assert page.locator('#photo').bounding_box()['width'] == before


def test_two_clicks_on_remove_remove_one_picture(open_page, scene):
    page = open_page()
    _add(page, *((name, scene) for name in ('a.png', 'b.png', 'c.png')))
    page.locator('.thumb').nth(2).wait_for()
    page.wait_for_load_state('networkidle')
    open_page.expected.append('status of 404')
    held = []
    page.route('**/pictures/1', lambda route: held.append(route))
    for _ in range(2):
        with page.expect_request('**/pictures/1'):
            page.get_by_label('Remove a.png').click()
    with page.expect_response(lambda one: one.status == 404) as refused:
        for route in held:
            route.continue_()
    refused.value.finished()
    page.locator('.thumb[aria-current=true]', has_text='b.png').wait_for()
    assert page.locator('.thumb').evaluate_all('(all) => all.map((one) => one.title)') == ['b.png', 'c.png']


def test_errors_and_pictures_without_regions_are_said(open_page, scene, png):
    page = open_page()
    _add(page, ('broken.png', scene[:-20]), ('nothing.png', png(np.zeros((20, 20, 3), np.uint8))), ('b.png', scene))
    page.locator('.notice.bad', has_text='broken.png: the file is truncated').wait_for()
    page.locator('.thumb').nth(1).wait_for()
    page.get_by_text('No region was found in this picture.').wait_for()
    page.keyboard.press(']')
    page.locator('tbody tr').nth(2).wait_for()
    page.get_by_label('Dismiss').click()
    page.get_by_label('Remove b.png').click()
    page.get_by_text('No region was found in this picture.').wait_for()
    page.get_by_label('Remove nothing.png').click()
    page.get_by_text('Drop pictures or a folder here').wait_for()


@pytest.mark.parametrize('way', ['paste', 'drop'])
def test_pictures_come_from_the_clipboard_and_by_dropping(open_page, scene, way):
    page = open_page()
    page.evaluate(
        """([way, content]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], 'b.png', { type: 'image/png' }));
            const event = way === 'drop' ? new DragEvent('drop', { dataTransfer: transfer, cancelable: true })
                : new ClipboardEvent('paste', { clipboardData: transfer, cancelable: true });
            document.dispatchEvent(event);
        }""",
        [way, list(scene)],
    )
    page.locator('.thumb', has_text='b.png').wait_for()
    page.wait_for_load_state('networkidle')  # what is drawn again later loses the focus
    page.locator('tbody tr').first.focus()
    page.keyboard.press('ArrowDown')
    page.locator('#region .title', has_text='blue bead').wait_for()
    page.wait_for_function("document.activeElement.innerText.startsWith('blue bead')")


def test_the_test_data_are_compared(open_page):
    page = open_page()
    page.get_by_role('button', name='Test data').click()
    page.get_by_text('2 of 2 pictures; 2 of 4 objects right').wait_for()
    heads = page.locator('#matrix thead th').all_inner_texts()
    cells = [row.locator('button').all_inner_texts() for row in page.locator('#matrix tbody tr').all()]
    assert heads == ['red bead', 'blue bead', 'rod', 'nothing']
    assert cells == [['1', '1', '0', '0'], ['0', '1', '0', '0'], ['0', '0', '0', '1'], ['0', '0', '0', '0']]
    assert page.locator('#worst button').all_inner_texts() == [
        'a.png\n2 of 3 wrong: rod missed, red bead named blue bead'
    ]
    page.get_by_label('red bead predicted as red bead: 1').click()
    assert page.locator('#worst button').all_inner_texts() == ['b.png\n0 of 1 wrong']
    page.get_by_label('rod predicted as nothing: 1').click()
    page.locator('#worst button', has_text='a.png').click()
    page.locator('.notice', has_text='1 of 3 right').wait_for()
    page.locator('.thumb', has_text='a.png').wait_for()


def test_it_fits_a_phone_and_remembers_the_dark(open_page, scene):
    page = open_page(390, 844)
    _add(page, ('a.png', scene))
    page.locator('tbody tr').nth(2).click()
    page.locator('#region .title', has_text='rod').wait_for()
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    page.get_by_label('Light or dark').click()
    page.reload()
    page.locator('html[data-theme=dark]').wait_for()
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, summary')].filter((one) => "
        '!one.hidden && !one.ariaLabel && !one.textContent.trim() && !(one.labels && one.labels.length)).length'
    )
    assert unnamed == 0


@pytest.mark.parametrize(
    'model',
    [lambda: TrainedModel(load_model('deepunetto_shapes', show_progress=False), 'deepunetto_shapes')],
    indirect=True,
    ids=['shapes'],
)
def test_the_picture_of_the_documents(repository, tmp_path, open_page, png, model):
    page = open_page()
    scenes = RodConeShapes(num_scenes=5, seed=5, size=(128, 192), max_shapes=8)
    _add(page, *((f'scene {index}.png', png(scenes[index]['img'])) for index in range(5)))
    page.locator('.thumb').nth(4).wait_for()
    page.locator('.thumb').nth(1).click()
    page.get_by_label('Colour by').select_option('kind')
    page.locator('tbody tr').nth(2).click()
    page.locator('#region .title').wait_for()
    page.evaluate("document.querySelector('#progress-text').textContent = ''")  # seconds
    page.mouse.move(0, 0)
    page.screenshot(path=tmp_path / 'whole.png')
    drawn = Image.open(tmp_path / 'whole.png').convert('RGB').quantize(256, dither=Image.Dither.NONE)
    drawn.save(tmp_path / 'web.png', optimize=True)  # becomes docs/pictures/web.png
    shown = Image.open(repository / 'docs/pictures/web.png').convert('RGB')
    assert drawn.size == shown.size
    # Letters differ with the fonts of the system.
    assert np.abs(np.array(drawn.convert('RGB')).astype(int) - shown).mean() < 5, tmp_path
