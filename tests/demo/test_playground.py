# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The playground in a real browser: sliders, uploads, what it refuses."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from mask_plugins.analysis.playground import Playground, check_upload
from tests.common.processes import free_port
from tests.common.tools import ROOT

DEMO = ROOT / 'demo' / 'playground.py'


def load_demo():
    import runpy

    return runpy.run_path(str(DEMO))


@pytest.fixture(scope='module')
def playground():
    demo = load_demo()
    return Playground(demo['CONFIG'], demo['CHECKPOINT'])


def test_each_slider_changes_what_is_shown(playground):
    image = playground.image(3)
    for method, low, high in (
        (playground.tokens, 0.0, 0.6),
        (playground.weights, 0.0, 1.0),
        (playground.channels, 0.0, 0.5),
    ):
        texts = {method(image, value)[1] for value in (low, high)}
        assert len(texts) == 2
    assert 'prediction: 3' in playground.tokens(image, 0.0)[1]
    assert '0 of 96 channels' in playground.channels(image, 0.0)[1]
    off = playground.weights(image, 0.0)[1]
    assert off.startswith('100.0 % of')


def test_patches_are_found_on_a_drawn_scene(playground):
    frame, text = playground.patches(None, 0.3)
    assert frame.shape == (128, 128, 3)
    assert frame.dtype == np.uint8
    assert 'frames/s' in text


def test_bad_uploads_are_one_sentence(playground, tmp_path):
    bad = tmp_path / 'bad.png'
    bad.write_text('not an image')
    with pytest.raises(ValueError, match='not an image'):
        playground.image(0, str(bad))
    with pytest.raises(ValueError, match='not a video'):
        playground.patches(str(bad), 0.1)
    large = tmp_path / 'large.png'
    large.write_bytes(bytes(6 * 2**20))
    with pytest.raises(ValueError, match='at most 5'):
        check_upload(str(large))


# ------------------------------------------------------------- in a browser
@pytest.fixture(scope='module')
def address(playground):
    pytest.importorskip('gradio', reason="pip install 'mask_plugins[demo]'")
    demo = load_demo()
    page, port = demo['build'](playground), free_port()
    demo['launch'](page, port, prevent_thread_lock=True, quiet=True)
    yield f'http://127.0.0.1:{port}'
    page.close()


@pytest.fixture
def tab(address):
    api = pytest.importorskip('playwright.sync_api')
    program = shutil.which('chromium') or shutil.which('google-chrome')
    with api.sync_playwright() as play:
        try:
            browser = play.chromium.launch(
                executable_path=program, args=['--no-sandbox']
            )
        except api.Error as error:
            pytest.skip(f'no browser: {error}')
        page = browser.new_page(viewport=dict(width=1280, height=1000))
        page.set_default_timeout(60_000)
        page.goto(address)
        yield page
        browser.close()


def result(page, name):
    box = page.locator(f'#{name}-result textarea')
    page.wait_for_function('x => x.value', arg=box.element_handle())
    return box.input_value()


@pytest.mark.slow
@pytest.mark.parametrize('name', ['tokens', 'weights', 'channels', 'patches'])
def test_a_slider_changes_its_picture(tab, name):
    tab.get_by_role('tab', name=name).click()
    picture = tab.locator(f'#{name}-picture img').first
    before = result(tab, name), picture.get_attribute('src')
    slider = tab.locator('input[type=range]:visible').last
    slider.focus()
    for _ in range(3):
        slider.press('ArrowRight')
    slider.dispatch_event('pointerup')
    tab.wait_for_function(
        '([box, old]) => box.value && box.value !== old',
        arg=[
            tab.locator(f'#{name}-result textarea').element_handle(),
            before[0],
        ],
    )
    assert picture.get_attribute('src') != before[1]


@pytest.mark.slow
def test_a_bad_upload_gets_a_message(tab, tmp_path):
    bad = tmp_path / 'bad.png'
    bad.write_text('not an image')
    result(tab, 'tokens')
    tab.locator('input[type=file]').first.set_input_files(str(bad))
    tab.get_by_text('this file is not an image').first.wait_for()


@pytest.mark.slow
def test_no_file_of_the_machine_can_be_read(address, tmp_path):
    secret = Path(tmp_path, 'secret.txt')
    secret.write_text('a line of a file')
    files = (secret, ROOT / 'README.md', '/etc/passwd', '/etc/../etc/passwd')
    for file in files:
        for route in ('/gradio_api/file=', '/file='):
            code, body = fetch(f'{address}{route}{file}')
            assert code in (200, 403, 404)
            for words in (b'a line of', b'root:', b'## Two commands'):
                assert words not in body


@pytest.mark.slow
def test_a_path_that_was_not_uploaded_is_refused(address):
    """What a page could ask for without an upload, by hand."""
    picture = str(ROOT / 'docs' / 'figures' / 'four_masks.png')
    given = dict(path=picture, meta=dict(_type='gradio.FileData'))
    body = dict(data=[3, given, 0.4], fn_index=0, session_hash='by-hand')
    code, _ = fetch(f'{address}/gradio_api/queue/join', json.dumps(body))
    assert code == 200
    events = f'{address}/gradio_api/queue/data?session_hash=by-hand'
    _, found = fetch(events)
    assert b'"success": false' in found or b'"success":false' in found
    assert b'patches kept' not in found


@pytest.mark.slow
def test_a_large_upload_is_refused(address):
    large = bytes(6 * 2**20).decode()
    form = (
        '--x\r\nContent-Disposition: form-data; name="files"; '
        f'filename="a.png"\r\n\r\n{large}\r\n--x--\r\n'
    )
    kind = 'multipart/form-data; boundary=x'
    code, _ = fetch(f'{address}/gradio_api/upload', form, kind)
    assert code == 413


def fetch(url, body=None, kind='application/json'):
    """Status and content of a request."""
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data, {'Content-Type': kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as page:
            return page.status, page.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
