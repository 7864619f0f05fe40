import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestProject } from "vitest/node";

/** Servers of this machine for tests that run inside workerd: the world that their objects reach. */
const PIECE = Buffer.alloc(65_536, 7);
let [written, open, redirectsFollowed] = [0, 0, 0];

/** Sends for as long as the other side takes it. */
function pour(response: ServerResponse): void {
  open++;
  response.on("close", () => open--);
  const more = (): void => {
    for (let isRoomy = true; isRoomy && !response.destroyed; written += PIECE.length)
      isRoomy = response.write(PIECE);
  };
  response.on("drain", more);
  more();
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? "/", "http://world");
  switch (pathname) {
    case "/hello":
      return void response.end(
        `hello ${request.method} ${search} ${String(request.headers["x-from"] ?? "")}`,
      );
    case "/echo":
      response.setHeader("content-type", request.headers["content-type"] ?? "text/plain");
      return void request.pipe(response);
    case "/elsewhere":
      return void response.writeHead(302, { location: "/followed", "x-hop": "one" }).end();
    case "/followed":
      redirectsFollowed++;
      return void response.end("followed");
    case "/pour":
      return pour(response);
    case "/never":
      open++;
      return void response.on("close", () => open--);
    case "/state":
      return void response.end(JSON.stringify({ written, open, redirectsFollowed }));
    default:
      return void response.writeHead(404).end();
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const http = createServer(serve);
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  project.provide("worldPort", (http.address() as AddressInfo).port);
  return () => {
    http.closeAllConnections();
    http.close();
  };
}
