"""The server of the page: its routes, and who may ask."""

import itertools
import logging
import secrets
from pathlib import Path
from typing import Any, Awaitable, Callable, Optional, Sequence

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.datasets.shape_scenes import draw_scene
from deepunetto_mm.utils.errors import DataError, message_of

from .gallery import FullError, Gallery, Picture
from .review import Review
from .saving import save

_PAGE = Path(__file__).with_name('page.html')
_HOSTS = ['127.0.0.1', 'localhost']
_EXAMPLE_SIZE, _EXAMPLE_SHAPES = (128, 192), 8
_HEADERS = {
    'Cache-Control': 'no-store',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
}
# Of errors; the first that fits.
_STATUS: dict[type[Exception], int] = {KeyError: 404, FullError: 507, ValueError: 422, OSError: 500}
# What the page may do: its own style and script, whose nonce is new each time, and its own server.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Correction(BaseModel, extra='forbid'):
    """What a person changes of a region: its name, or None for the predicted one; and whether it is not an object."""

    fine_class: Optional[str] = None
    dropped: bool = False


def make_app(gallery: Gallery, review: Optional[Review] = None, examples: Sequence[Path] = ()) -> FastAPI:
    """The server of a page, for uvicorn or a test client.

    It answers requests to this machine alone (``127.0.0.1`` or ``localhost``) that come from its own page, or from a
    program that is not a browser. It writes nothing to the disk that outlives a request.

    Args:
        gallery: The pictures.
        review: The test data, if the network has a config that names them.
        examples: Files of pictures that the page offers, one after the other. Without them, scenes are drawn for a
            model of shapes.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # their pages load scripts from elsewhere
    model = gallery.model
    draws_examples = model.taxonomy.to_dict() == RodConeShapes.METAINFO['taxonomy']
    next_example = itertools.cycle(examples)

    @app.middleware('http')
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        asked = request.headers
        # A browser names where a request comes from: another page must not send pictures, or read the answers. It may
        # have a link to the page.
        is_own = asked.get('origin') in (None, f'{request.url.scheme}://{asked.get("host")}')
        is_link = request.url.path == '/' and asked.get('sec-fetch-mode') == 'navigate'
        if not is_own or (asked.get('sec-fetch-site', 'none') not in ('none', 'same-origin') and not is_link):
            return JSONResponse(dict(error='only the page of this server may ask it'), 403)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        response.headers.setdefault('Content-Security-Policy', _POLICY.format(nonce=secrets.token_urlsafe()))
        return response

    # The last one that is added is asked first. A page whose domain points to this machine has another host.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)

    async def refuse(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, HTTPException):
            return JSONResponse(dict(error=error.detail), error.status_code)
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        return JSONResponse(dict(error=message_of(error)), status)

    app.add_exception_handler(HTTPException, refuse)
    for kind in _STATUS:
        app.add_exception_handler(kind, refuse)

    @app.get('/')
    def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe()
        text = _PAGE.read_text(encoding='utf-8').replace('{nonce}', nonce)
        return HTMLResponse(text, headers={'Content-Security-Policy': _POLICY.format(nonce=nonce)})

    @app.get('/api/model')
    def describe() -> dict[str, Any]:
        taxonomy, names = model.taxonomy, model.names
        colour_of_class = dict(zip(taxonomy.classes, names.palette))
        return dict(
            title=model.title,
            groups=[
                dict(
                    name=group.name,
                    colour=colour_of_class[group.members[0]],
                    fine_classes=[
                        dict(name=taxonomy.fine_classes[k], colour=names.fine_palette[k])
                        for k in taxonomy.children(index)
                    ],
                )
                for index, group in enumerate(taxonomy.groups)
            ],
            examples=bool(examples) or draws_examples,
            review=review is not None,
            largest=gallery.limits.upload,
        )

    @app.get('/api/pictures')
    def pictures() -> list[dict[str, Any]]:
        return [picture.describe() for picture in gallery.pictures]

    @app.post('/api/pictures', status_code=201)
    async def add(request: Request, name: str) -> dict[str, Any]:
        content = await _read(request, name, gallery.limits.upload)
        picture = await run_in_threadpool(_predict, gallery.add, name, content)
        return picture.describe()

    @app.post('/api/examples', status_code=201)
    def add_example() -> dict[str, Any]:
        if examples:
            path = next(next_example)
            try:
                content = path.read_bytes()
            except OSError as error:
                raise HTTPException(404, f'{path} cannot be read: {error.strerror}') from error
            return _predict(gallery.add, path.name, content).describe()
        if not draws_examples:
            raise KeyError('there are no examples: start demo/web.py with --examples FOLDER')
        number = secrets.randbelow(10_000)
        scene = draw_scene(np.random.default_rng(number), _EXAMPLE_SIZE, _EXAMPLE_SHAPES)
        image = np.ascontiguousarray(scene.image[..., ::-1])
        return _predict(gallery.add_array, f'shapes {number}.png', image).describe()

    @app.delete('/api/pictures/{number}', status_code=204)
    def remove(number: int) -> None:
        gallery.remove(number)

    @app.get('/api/pictures/{number}/picture.png')
    def show(number: int) -> Response:
        return Response(gallery.get(number).png, media_type='image/png')

    @app.get('/api/pictures/{number}/regions')
    def regions(number: int) -> Response:
        """Region ids, little endian, row by row, of as many bits as the picture's ``bits`` says."""
        region_map = gallery.get(number).region_map
        content = region_map.astype(region_map.dtype.newbyteorder('<')).tobytes()
        return Response(content, media_type='application/octet-stream')

    @app.patch('/api/pictures/{number}/regions/{region}')
    def correct(number: int, region: int, correction: Correction) -> dict[str, Any]:
        return gallery.correct(number, region, correction.model_dump(exclude_unset=True))

    @app.get('/api/save/{kind}')
    def download(kind: str) -> Response:
        file = save(kind, gallery.pictures, model.taxonomy)
        headers = {'Content-Disposition': f'attachment; filename="{file.name}"'}
        return Response(file.content, media_type=file.media_type, headers=headers)

    if review is not None:

        @app.post('/api/review')
        def start_review() -> dict[str, Any]:
            review.start()
            return review.describe(0)

        @app.get('/api/review')
        def go_on(start: int) -> dict[str, Any]:
            return review.describe(start)

        @app.post('/api/review/{index}', status_code=201)
        def add_reviewed(index: int) -> dict[str, Any]:
            name, image, notes = review.open(index)
            return _predict(gallery.add_array, name, image, notes).describe()

    return app


async def _read(request: Request, name: str, limit: int) -> bytes:
    """The body of a request, which is not read beyond the limit."""
    content = bytearray()
    too_large = HTTPException(413, f'{name} is larger than {limit / 1e6:g} MB; use a smaller file')
    if int(request.headers.get('content-length', 0)) > limit:
        raise too_large
    async for part in request.stream():
        content += part
        if len(content) > limit:
            raise too_large
    return bytes(content)


def _predict(add: Callable[..., Picture], name: str, *content: Any) -> Picture:
    try:
        return add(name, *content)
    except (DataError, FullError):
        raise
    except MemoryError as error:
        raise FullError(f'{name}: out of memory; use a smaller picture') from error
    except Exception as error:  # of the network, on this picture
        logging.getLogger('uvicorn.error').exception('predicting %s', name)
        raise HTTPException(500, f'{name} could not be predicted: {message_of(error)}') from error
