"""A bucket without a network: objects in a dictionary, for epath, and by HTTP for TensorStore."""

import fnmatch
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class FakeBuckets:
    """A backend of epath that can do what buckets can: whole objects are read and written.

    Attributes:
      objects: contents by name, such as "bucket/run/config.json".
      failure: raised by whatever is asked for; None where all is well.
    """

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        self.failure: Exception | None = None

    def _name(self, path):
        if self.failure is not None:
            raise self.failure
        return str(path).removeprefix("gs://").rstrip("/")

    def _below(self, path):
        return [each for each in list(self.objects) if each.startswith(self._name(path) + "/")]

    def open(self, path, mode):
        name, buckets = self._name(path), self
        assert mode.replace("b", "") in ("r", "w"), "a bucket cannot append"
        if mode[0] == "r":
            if name not in self.objects:
                raise FileNotFoundError(path)
            whole = io.BytesIO(self.objects[name])
            return whole if "b" in mode else io.TextIOWrapper(whole)

        class Written(io.BytesIO):
            def close(self):
                if not self.closed:
                    buckets.put(name, self.getvalue())
                super().close()

        return Written() if "b" in mode else io.TextIOWrapper(Written())

    def put(self, name, content):
        if not name.startswith("bucket/"):
            raise FileNotFoundError(name)
        self.objects[name] = content

    def exists(self, path):
        return self._name(path) in self.objects or self.isdir(path)

    def isdir(self, path):
        return bool(self._below(path))

    def listdir(self, path):
        start = len(self._name(path)) + 1
        return sorted({each[start:].split("/")[0] for each in self._below(path)})

    def glob(self, path):
        folder, _, pattern = str(path).rpartition("/")
        return [f"{folder}/{each}" for each in fnmatch.filter(self.listdir(folder), pattern)]

    def mkdir(self, path, **_):
        self._name(path)

    makedirs = mkdir

    def remove(self, path):
        if self.objects.pop(self._name(path), None) is None:
            raise FileNotFoundError(path)

    def rmtree(self, path):
        for name in self._below(path) or [self._name(path)]:
            if self.objects.pop(name, None) is None:
                raise FileNotFoundError(path)

    def serve(self):
        """Serves the objects by HTTP, as Google's storage does; returns the server."""

        class Handler(_Handler):
            buckets = self

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    buckets: FakeBuckets

    def log_message(self, *_):
        pass

    def do_GET(self):
        _, name, query = self._asked()
        if not name and "prefix" in query:
            self._answer({"items": [{"name": each} for each in self._names(query)]})
        elif f"bucket/{name}" not in self.buckets.objects:
            self._answer({}, 404)
        else:
            content = self.buckets.objects[f"bucket/{name}"]
            first, _, last = self.headers.get("Range", "bytes=0-")[6:].partition("-")
            last = min(int(last or len(content)), len(content) - 1)
            whole = f"bytes {first}-{last}/{len(content)}"
            headers = {"x-goog-generation": str(hash(content) % 2**60), "Content-Range": whole}
            status = 206 if "Range" in self.headers else 200
            self._answer(content[int(first) : last + 1], status, headers)

    def do_POST(self):
        _, _, query = self._asked()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.buckets.put(f"bucket/{query['name']}", content)
        self._answer({"name": query["name"], "generation": str(hash(content) % 2**60)})

    def do_DELETE(self):
        found = self.buckets.objects.pop(f"bucket/{self._asked()[1]}", None)
        self._answer({}, 404 if found is None else 204)

    def _asked(self):
        url = urlsplit(self.path)
        place, _, name = url.path.partition("/b/bucket/o/")
        return place, unquote(name), {key: each[0] for key, each in parse_qs(url.query).items()}

    def _names(self, query):
        start = f"bucket/{query['prefix']}"
        return [each[7:] for each in sorted(self.buckets.objects) if each.startswith(start)]

    def _answer(self, body, status=200, headers=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
