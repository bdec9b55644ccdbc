"""A loopback server for the built site: its published path, a 404 page, nothing else."""

from __future__ import annotations

import mimetypes
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml", ".ipynb": "application/json"}


class Server(ThreadingHTTPServer):
    """Serves the files of `site` as if they were published at the address `base`."""

    daemon_threads = True

    def __init__(self, site: Path, base: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.site, self.base = site.resolve(), base
        self.prefix = urlsplit(base).path
        self.address = f"http://127.0.0.1:{self.server_port}{self.prefix}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, file = HTTPStatus.OK, self.file()
        if file is None:
            status, file = HTTPStatus.NOT_FOUND, self.server.site / "404.html"
        body = file.read_bytes()
        if file.name == "sitemap.xml":  # Material loads a page instantly only if the sitemap names it, port and all
            body = body.replace(self.server.base.encode(), self.server.address.encode())
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self) -> Path | None:
        path = unquote(urlsplit(self.path).path)
        if not path.startswith(self.server.prefix):
            return None
        file = (self.server.site / path.removeprefix(self.server.prefix)).resolve()
        if not file.is_relative_to(self.server.site):
            return None
        file = file / "index.html" if file.is_dir() else file
        return file if file.is_file() else None

    def log_message(self, *args: object) -> None:
        pass
