"""Cross-origin requests: which web pages of other origins may call the API (CORS)."""

from collections.abc import Iterable, Sequence

from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

EXPOSED = ("Retry-After", "X-Request-ID")  # headers that a page may read besides the usual ones


def allow_origins(app: ASGIApp, origins: Sequence[str], methods: Iterable[str]) -> ASGIApp:
    """Let pages of some origins call an application.

    Put it around everything else: a browser's preflight has no key, and a page can only read an
    error whose response names its origin.

    Parameters
    ----------
    app : ASGI application
        Handles the requests.
    origins : sequence of str
        Origins, such as ``https://me.org``; ``*`` for all. Without any, nothing is added.
    methods : iterable of str
        Methods that the application's routes have.

    Returns
    -------
    ASGI application
        The application with the CORS protocol around it.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=sorted(set(methods)),
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
