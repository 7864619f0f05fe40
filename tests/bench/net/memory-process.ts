/**
 * What an open connection costs workerd: of the tunnel, or a socket that the bare pipe's object only holds. Each has a workerd
 * that has done nothing else, as memory that was given back once is not asked for again. Tells KiB a connection on stdout.
 */
import { once } from "node:events";
import { WebSocket } from "ws";
import { VirgaGuest } from "../../support/net-guest.ts";
import { memoryOfChildren } from "../../support/process-memory.ts";

const FLOWS = 1000;

interface Task {
  readonly url: string;
  readonly echo: number;
  /** The process that started workerd. */
  readonly site: number;
  readonly of: "tunnel" | "bare-socket";
}
const { url, echo, site, of } = JSON.parse(process.argv[2]!) as Task;
const origin = new URL(url).href.replace(/^http/, "ws");
const held = (): number => memoryOfChildren("workerd", site);

async function tunnel(): Promise<number> {
  const visitor = await new VirgaGuest(new URL("/l2", origin).href).ready();
  const before = held();
  const flows = Array.from({ length: FLOWS }, () => visitor.guest.connect("127.0.0.1", echo));
  await Promise.all(flows.map((connection) => connection.write(Buffer.from("x"))));
  for (const connection of flows) while (connection.receivedBytes === 0) await connection.change();
  return held() - before;
}

async function bareSockets(): Promise<number> {
  const address = (count: number): string =>
    `ws://127.0.0.1:${new URL(url).port}/?port=${echo}&hold=${count}`;
  const hold = async (count: number): Promise<void> => {
    const socket = new WebSocket(address(count), {
      perMessageDeflate: false,
      headers: { host: "bare.test" },
    });
    await once(socket, "message");
  };
  // The object is awake, as the tunnel's is.
  await hold(1);
  const before = held();
  await hold(FLOWS);
  return held() - before;
}

const grown = await (of === "tunnel" ? tunnel() : bareSockets());
process.stdout.write(`${JSON.stringify(grown / FLOWS / 1024)}\n`, () => process.exit(0));
