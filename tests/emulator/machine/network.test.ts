import { createHash, randomBytes } from "node:crypto";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openFrameLink, sharedLinkEnds } from "#protocol/frame-link";
import { LearningSwitch } from "../../../durable-objects/net/learning-switch.ts";
import { cidr } from "../../../durable-objects/policy/cidr.ts";
import type { NodeNetwork } from "../../../infra/headless/node-network.ts";
import { builtImage, internet, networkGuest, type Guest } from "../../support/network-guest.ts";

/** Linux in the emulator, our stack in this process, servers on the loopback: the whole way of a guest's byte and back. */
const debian = builtImage("debian");
const tiny = builtImage("tiny");
const BYTES = 50_000_000;
const HOST = "host.virga.internal";
const listening = (server: Server | HttpServer): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");

describe.skipIf(!debian)("Debian on the internet (skipped where the core or the image was not built)", () => {
  const servers: (Server | HttpServer)[] = [];
  const serve = async (onSocket: (socket: Socket) => void): Promise<number> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      onSocket(socket);
    });
    servers.push(server);
    return listening(server);
  };
  const body = randomBytes(BYTES);
  let guest: Guest;
  let network: NodeNetwork;
  let http = 0;

  beforeAll(async () => {
    const server = createHttpServer((request, response) => {
      const hash = createHash("md5");
      request.on("data", (bytes: Buffer) => hash.update(bytes));
      request.on("end", () => response.end(request.method === "PUT" ? hash.digest("hex") : body));
    });
    servers.push(server);
    http = await listening(server);
    const behind = internet([cidr("127.0.0.0/8")]);
    network = behind.network;
    guest = await networkGuest(debian!, behind.machineEnd);
  }, 300_000);

  afterAll(async () => {
    await guest?.close();
    network?.close();
    for (const server of servers) server.close();
  });

  test(
    "it has an address, a gateway that answers, a resolver, and IPv6",
    { timeout: 120_000 },
    async (context) => {
      if ((await guest.dialogue.run("[ -e /run/virga/network ]")).exitCode !== 0)
        context.skip("the image was built before it knew a network: npm start builds it");
      await network.leased;
      expect(await guest.insist("ip -4 -br addr show eth0 | grep 10.0.2")).toContain("10.0.2.15/24");
      expect(await guest.insist("ping -c 2 -i 0.2 10.0.2.2")).toMatch(/ 0% packet loss/);
      expect(await guest.say(`getent hosts ${HOST}`)).toContain("198.18.0.1");
      expect(await guest.insist("ip -6 addr show eth0 scope global | grep fd00:7669:7267")).toContain(
        "fd00:7669",
      );
      expect(
        await guest.insist("ping -6 -c 1 -w 2 fe80::ff:fe00:1%eth0 | grep -o ' 0% packet loss'"),
      ).toBeTruthy();
    },
  );

  test("50 MB by HTTP, every byte as it was", { timeout: 300_000 }, async () => {
    expect(await guest.say(`curl -sS http://${HOST}:${http}/ | md5sum`)).toContain(md5(body));
  });

  test("20 MB up", { timeout: 300_000 }, async () => {
    await guest.say("head -c 20000000 /dev/urandom >/dev/shm/up");
    const sum = (await guest.say("md5sum </dev/shm/up")).split(" ")[0]!;
    expect(await guest.say(`curl -sS -T /dev/shm/up http://${HOST}:${http}/`)).toBe(sum);
    await guest.say("rm /dev/shm/up");
  });

  test("200 connections at once, each with an answer of its own", { timeout: 300_000 }, async () => {
    const open = new Set<Socket>();
    let most = 0;
    const port = await serve((socket) => {
      open.add(socket);
      most = Math.max(most, open.size);
      socket.on("data", (bytes) => void socket.write(`echo ${bytes.toString()}`));
      socket.on("end", () => socket.end());
      socket.on("close", () => open.delete(socket));
    });
    const script = `fds=; for i in $(seq 200); do exec {f}<>/dev/tcp/${HOST}/${port}; fds="$fds $f"; done
      for f in $fds; do echo "hello $f" >&$f; done
      n=0; for f in $fds; do read -r line <&$f; [ "$line" = "echo hello $f" ] && n=$((n + 1)); done; echo $n`;
    expect(await guest.say(script)).toBe("200");
    expect(most).toBe(200);
  });

  test("half-close: the answer comes after the guest has said everything", { timeout: 120_000 }, async () => {
    const port = await serve((socket) => {
      const heard: Buffer[] = [];
      socket.on("data", (bytes: Buffer) => heard.push(bytes));
      socket.on("end", () => socket.end(`heard ${Buffer.concat(heard).toString()}`));
    });
    expect(await guest.say(`printf 'one two' | /run/virga/busybox nc ${HOST} ${port}`)).toBe("heard one two");
  });

  test("a slow reader: the sender waits, and then all of it comes", { timeout: 300_000 }, async () => {
    let taken = 0;
    const port = await serve((socket) => {
      const piece = body.subarray(0, 65_536);
      const send = (left: number): void => {
        if (left === 0) return void socket.end();
        if (socket.write(piece)) return void setImmediate(send, left - 1);
        socket.once("drain", () => send(left - 1));
      };
      // The guest says when it has slept: so much had left until then.
      socket.once("data", () => (taken = socket.bytesWritten - socket.writableLength));
      send(400);
    });
    const count = await guest.say(`exec 5<>/dev/tcp/${HOST}/${port}; sleep 3; echo now >&5; cat <&5 | wc -c`);
    expect(count).toBe(String(400 * 65_536));
    // What the host's and the guest's kernels and the stack between them hold, and no more.
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(16 << 20);
  });

  test("what is not on the internet is refused at once, in words of ICMP", { timeout: 120_000 }, async () => {
    const { exitCode } = await guest.dialogue.run("curl -s -m 20 http://192.168.77.1/");
    // 7: could not connect; 28 would be a timeout.
    expect(exitCode).toBe(7);
  });
});

describe.skipIf(!tiny)(
  "two machines on one switch (skipped where the core or the image was not built)",
  () => {
    test(
      "both get addresses from one gateway, and reach each other",
      { timeout: 240_000 },
      async (context) => {
        const lan = new LearningSwitch<number>();
        const ends = [0, 1, 2].map(() => sharedLinkEnds().map(openFrameLink));
        const ports = ends.map(([mine]) => mine!);
        ports.forEach((port, number) => {
          lan.attach(number);
          const pump = (): void => {
            for (let frame = port.receive(); frame; frame = port.receive())
              for (const to of lan.forward(number, frame, performance.now())) ports[to]!.send(frame);
          };
          port.listen(pump);
          pump();
        });
        const { NodeNetwork: Behind } = await import("../../../infra/headless/node-network.ts");
        const network = new Behind({ link: ends[0]![1]! });
        const [a, b] = await Promise.all([
          networkGuest(tiny!, ends[1]![1]!, 1),
          networkGuest(tiny!, ends[2]![1]!, 2),
        ]);
        try {
          if ((await a.dialogue.run("[ -e /run/virga/network ]")).exitCode !== 0)
            context.skip("the image was built before it knew a network: npm start builds it");
          const addressOf = async (guest: Guest): Promise<string> =>
            /10\.0\.2\.\d+/.exec(await guest.insist("ip addr show eth0 | grep 'inet 10'"))![0];
          const [first, second] = [await addressOf(a), await addressOf(b)];
          expect(new Set([first, second])).toEqual(new Set(["10.0.2.15", "10.0.2.16"]));
          expect(await a.insist(`ping -c 2 -w 3 ${second} | grep -o ' 0% packet loss'`)).toBeTruthy();
          expect(await b.insist("ping -c 2 -w 3 10.0.2.2 | grep -o ' 0% packet loss'")).toBeTruthy();
        } finally {
          await Promise.all([a.close(), b.close()]);
          network.close();
        }
      },
    );
  },
);
