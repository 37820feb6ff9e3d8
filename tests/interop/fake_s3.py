"""As much of an S3 server as Arrow's client asks for, its objects in a local folder: <root>/<bucket>/<key>."""
import http.server
import io
import pathlib
import re
import threading
import urllib.parse
import xml.sax.saxutils


def chunks(stream):
    """Chunks of HTTP, or of Amazon's signatures: a size in hexadecimal digits, the bytes; the last is empty."""
    out = b""
    while size := int(stream.readline().split(b";")[0], 16):
        out += stream.read(size)
        stream.readline()
    while stream.readline().strip():  # a trailer, and the empty line
        pass
    return out


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def place(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.bucket, _, self.key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        return self.server.root / self.bucket / self.key

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = chunks(self.rfile)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signed = "aws-chunked" in self.headers.get("Content-Encoding", "")
        return chunks(io.BytesIO(data)) if signed else data

    def do_HEAD(self):
        path = self.place()
        if not self.key:
            return self.answer(x_amz_bucket_region="us-east-1")
        if not path.is_file():
            return self.answer(404)
        self.answer(Content_Length=path.stat().st_size, Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT", ETag='"0"')

    def do_GET(self):
        path = self.place()
        if not self.key:
            return self.list_objects()
        if not path.is_file():
            return self.answer(404)
        data, part = path.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part is None:
            return self.answer(200, data)
        first, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
        self.answer(206, data[first:last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

    def list_objects(self):
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        root, files, folders = self.server.root / self.bucket, [], set()
        for path in sorted(root.rglob("*")):
            key = path.relative_to(root).as_posix()
            if not path.is_file() or not key.startswith(prefix):
                continue
            head, slash, _ = key[len(prefix):].partition(delimiter) if delimiter else ("", "", "")
            if slash:
                folders.add(prefix + head + slash)
            else:
                files.append((key, path.stat().st_size))
        escape = xml.sax.saxutils.escape
        text = "".join(f"<Contents><Key>{escape(k)}</Key><Size>{n}</Size><ETag>\"0\"</ETag>"
                       "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>" for k, n in files)
        text += "".join(f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in sorted(folders))
        self.answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>{len(files) + len(folders)}"
                         f"</KeyCount>{text}</ListBucketResult>".encode())

    def do_PUT(self):
        path, data = self.place(), self.body()
        if self.server.allowed is not None and len(self.server.written) >= self.server.allowed:
            return self.answer(403)
        if "uploadId" in self.query:
            self.server.parts[path, int(self.query["partNumber"])] = data
        elif self.key and not self.key.endswith("/"):  # one that ends so is a folder's marker
            self.write(path, data)
        self.answer(ETag='"0"')

    def write(self, path, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.server.written.append(self.key)

    def do_DELETE(self):
        self.remove(self.place())
        self.answer(204)

    def remove(self, path):
        if not path.is_dir():  # a folder's marker is no file here
            path.unlink(missing_ok=True)

    def do_POST(self):
        path, body = self.place(), self.body().decode()
        if "uploads" in self.query:
            return self.answer(200, b"<InitiateMultipartUploadResult><UploadId>1</UploadId>"
                                    b"</InitiateMultipartUploadResult>")
        if "uploadId" in self.query:
            numbers = sorted(number for upload, number in self.server.parts if upload == path)
            self.write(path, b"".join(self.server.parts.pop((path, number)) for number in numbers))
            return self.answer(200, b"<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>")
        for key in re.findall(r"<Key>(.*?)</Key>", body):
            self.remove(self.server.root / self.bucket / xml.sax.saxutils.unescape(key))
        self.answer(200, b"<DeleteResult></DeleteResult>")


class FakeS3(http.server.ThreadingHTTPServer):
    """`written`: the keys in the order in which they were written; `allowed`: how many may be, or None."""
    daemon_threads = True
    request_queue_size = 100

    def __init__(self, root: pathlib.Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.written, self.parts, self.allowed = root, [], {}, None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def environment(self):
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_address[1]}", "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
