"""The programs of a well-known tutorial on sockets, unchanged in what they do, against our servers, and our clients
against its servers and Python's own for HTTP. Arguments: port of the greeter (TCP and UDP), port of an HTTP server, our program."""

import http.server
import socket
import subprocess
import sys
import tempfile
import threading
import time

greeter, control, postroad = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

# The TCP client.
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect(("127.0.0.1", greeter))
assert s.recv(1024).decode("utf-8") == "Welcome!"
for data in [b"Michael", b"Tracy", b"Sarah"]:
    s.send(data)
    assert s.recv(1024).decode("utf-8") == "Hello, %s!" % data.decode("utf-8")
s.send(b"exit")
s.close()

# The UDP client.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
for data in [b"Michael", b"Tracy", b"Sarah"]:
    s.sendto(data, ("127.0.0.1", greeter))
    assert s.recv(1024).decode("utf-8") == "Hello, %s!" % data.decode("utf-8")
s.close()

# The GET by hand, until the peer closes.
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect(("127.0.0.1", control))
s.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
buffer = []
while True:
    d = s.recv(1024)
    if not d:
        break
    buffer.append(d)
header, html = b"".join(buffer).split(b"\r\n\r\n", 1)
assert header.startswith(b"HTTP/1.1 200") and html == b"ok\n"
s.close()


# The TCP server, one thread a connection, and the UDP server: called by our clients.
def tcplink(sock, addr):
    sock.send(b"Welcome!")
    while True:
        data = sock.recv(1024)
        time.sleep(0.1)
        if not data or data.decode("utf-8") == "exit":
            break
        sock.send(("Hello, %s!" % data.decode("utf-8")).encode("utf-8"))
    sock.close()


def accept(listener):
    while True:
        threading.Thread(target=tcplink, args=listener.accept(), daemon=True).start()


def echo(listener):
    while True:
        data, addr = listener.recvfrom(1024)
        listener.sendto(b"Hello, %s!" % data, addr)


tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
tcp.bind(("127.0.0.1", 0))
tcp.listen(5)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
threading.Thread(target=accept, args=(tcp,), daemon=True).start()
threading.Thread(target=echo, args=(udp,), daemon=True).start()
for kind, listener in [("greeter", tcp), ("udp", udp)]:
    to = "127.0.0.1:%d" % listener.getsockname()[1]
    said = subprocess.run([postroad, kind, "call", "Michael", "Tracy", "Sarah", "--to", to], capture_output=True, text=True)
    assert said.returncode == 0 and "Hello, Sarah!" in said.stdout, said

# A page from the server that comes with Python (HTTP/1.0: the end is where it hangs up).
web = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=web.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory() as folder:
    page = folder + "/page"
    url = "http://127.0.0.1:%d/LICENSE-MIT" % web.server_port
    said = subprocess.run([postroad, "get", url, "-o", page], capture_output=True, text=True)
    assert said.returncode == 0 and "200 OK" in said.stdout, said
    assert open(page, "rb").read() == open("LICENSE-MIT", "rb").read()
    said = subprocess.run([postroad, "get", url + ".not", "-o", page], capture_output=True, text=True)
    assert "404" in said.stdout + said.stderr, said
