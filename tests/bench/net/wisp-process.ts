/** The reference Wisp server of the net bench, in a process of its own. Tells its URL on stdout. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { logging, server as wisp } from "@mercuryworkshop/wisp-js/server";

wisp.options.allow_private_ips = true;
wisp.options.allow_loopback_ips = true;
logging.set_level(logging.NONE);
const server = createServer();
server.on("upgrade", (request, socket, head) => wisp.routeRequest(request, socket, head));
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ url: `ws://127.0.0.1:${port}/wisp/` }));
});
process.stdin.on("end", () => process.exit(0)).resume();
