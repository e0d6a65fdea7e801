"""imaplib over COMPRESS=DEFLATE (RFC 4978), with Python's own zlib. Arguments: CA file, port of IMAPS."""

import imaplib
import ssl
import sys
import zlib

imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")


class Compressed:
    """The file that imaplib reads from, and the socket it writes to."""

    def __init__(self, socket):
        self.socket = socket
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.waiting = b""
        self.came = 0

    def fill(self):
        came = self.socket.recv(65536)
        assert came, "the server has hung up"
        self.came += len(came)
        self.waiting += self.inflate.decompress(came)

    def read(self, size):
        while len(self.waiting) < size:
            self.fill()
        part, self.waiting = self.waiting[:size], self.waiting[size:]
        return part

    def readline(self, limit=-1):
        while b"\n" not in self.waiting:
            self.fill()
        return self.read(self.waiting.index(b"\n") + 1)

    def sendall(self, data):
        self.socket.sendall(self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH))


context = ssl.create_default_context(cafile=sys.argv[1])
box = imaplib.IMAP4_SSL("localhost", int(sys.argv[2]), ssl_context=context)
box.login("friend@sina.test", "postroad")
assert box._simple_command("COMPRESS", "DEFLATE")[0] == "OK"
layer = Compressed(box.sock)
box.read, box.readline, box.send = layer.read, layer.readline, layer.sendall

message = b"Subject: compressed\r\n\r\n" + b"again and again the same\r\n" * 40000
assert box.create("Compressed")[0] == "OK"
assert box.append("Compressed", None, None, message)[0] == "OK"
assert box.select("Compressed")[1] == [b"1"]
before = layer.came
assert box.fetch("1", "(BODY.PEEK[])")[1][0][1] == message
assert layer.came - before < len(message) // 50, layer.came - before
for _ in range(200):
    assert box.noop()[0] == "OK"
assert box.unselect()[0] == "OK"
assert box.delete("Compressed")[0] == "OK"
assert box.logout()[0] == "BYE"
