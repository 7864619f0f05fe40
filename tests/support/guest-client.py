"""What a program in the guest does: connections to the world's test services, and one line of JSON about how they went.

guest-client.py download|upload|half-close|echo ADDRESS BYTES CONNECTIONS [SLOW]
guest-client.py refused|unreachable ADDRESS
guest-client.py udp ADDRESS PORT BYTES
guest-client.py listen PORT
"""
import errno
import hashlib
import json
import random
import socket
import sys
import threading
import time

PORTS = {"download": 7001, "upload": 7002, "half-close": 7002, "echo": 7003}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def read_all(connection, slow):
    digest, count = hashlib.sha256(), 0
    while True:
        piece = connection.recv(4096 if slow else 1 << 16)
        if not piece:
            return digest.hexdigest(), count
        digest.update(piece)
        count += len(piece)
        if slow:
            time.sleep(0.002)


def body(count, seed):
    return random.Random(seed).randbytes(count)


def one(what, address, count, index, slow, results):
    try:
        connection = socket.socket(family(address), socket.SOCK_STREAM)
        connection.settimeout(100)
        connection.connect((address, PORTS[what]))
        if what == "download":
            connection.sendall(b"%d %d\n" % (count, index))
            results[index] = list(read_all(connection, slow))
        elif what in ("upload", "half-close"):
            data = body(count, index)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
            results[index] = [answer.decode(), hashlib.sha256(data).hexdigest()]
        else:
            data = body(count, index)
            writer = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
            writer.start()
            answer, _ = read_all(connection, slow)
            writer.join()
            results[index] = [answer, hashlib.sha256(data).hexdigest()]
        connection.close()
    except OSError as failure:
        results[index] = ["error", errno.errorcode.get(failure.errno, str(failure))]


def main():
    what, *rest = sys.argv[1:]
    if what in PORTS:
        address, count, connections = rest[0], int(rest[1]), int(rest[2])
        slow = len(rest) > 3 and rest[3] == "slow"
        results = [None] * connections
        threads = [
            threading.Thread(target=one, args=(what, address, count, index, slow, results))
            for index in range(connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps(results))
    elif what == "udp":
        address, port, count = rest[0], int(rest[1]), int(rest[2])
        sender = socket.socket(family(address), socket.SOCK_DGRAM)
        sender.settimeout(10)
        sender.connect((address, port))
        sender.send(body(count, 1))
        try:
            print(json.dumps([sender.recv(65535) == body(count, 1)]))
        except OSError as failure:
            print(json.dumps([errno.errorcode.get(failure.errno, str(failure))]))
    elif what == "listen":
        server = socket.socket(family(rest[1]), socket.SOCK_STREAM)
        server.bind((rest[1], int(rest[0])))
        server.listen()
        print("listening", flush=True)
        connection, peer = server.accept()
        connection.settimeout(60)
        data = b"".join(iter(lambda: connection.recv(65536), b""))
        connection.sendall(hashlib.sha256(data).hexdigest().encode())
        connection.close()
        print(json.dumps([len(data), peer[0], peer[1]]))
    else:
        connection = socket.socket(family(rest[0]), socket.SOCK_STREAM)
        connection.settimeout(20)
        try:
            connection.connect((rest[0], int(rest[1])))
            print(json.dumps(["connected"]))
        except OSError as failure:
            print(json.dumps([errno.errorcode.get(failure.errno, str(failure))]))


main()
