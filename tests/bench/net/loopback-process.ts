/** The world of the net bench, in a process of its own: a source, a sink, an echo. Tells its ports on stdout. */
import { type AddressInfo, type Socket, createServer } from "node:net";

const block = Buffer.alloc(65_536, 7);
/** What comes first says how much is wanted: eight bytes. */
function source(socket: Socket): void {
  socket.once("data", (wish: Buffer) => {
    let left = Number(wish.readBigUInt64BE(0));
    const go = (): void => {
      while (left > 0) {
        const part = left < block.length ? block.subarray(0, left) : block;
        left -= part.length;
        if (!socket.write(part)) return void socket.once("drain", go);
      }
      socket.end();
    };
    go();
  });
}
/** Answers with one byte when so much has come. */
function sink(socket: Socket): void {
  let wanted = -1;
  let got = 0;
  socket.on("data", (piece: Buffer) => {
    if (wanted < 0) {
      wanted = Number(piece.readBigUInt64BE(0));
      got -= 8;
    }
    got += piece.length;
    if (got >= wanted) socket.end("k");
  });
}

const ports = await Promise.all(
  [source, sink, (socket: Socket) => void socket.pipe(socket)].map(
    (serve) =>
      new Promise<number>((resolve) => {
        const server = createServer({ allowHalfOpen: true }, (socket) => {
          socket.setNoDelay(true);
          socket.on("error", () => {});
          serve(socket);
        });
        server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
      }),
  ),
);
console.log(JSON.stringify({ source: ports[0], sink: ports[1], echo: ports[2] }));
process.stdin.on("end", () => process.exit(0)).resume();
