/** `virga run --net`: the network card of a machine in this terminal, and what is behind it. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { openFrameLink, sharedLinkEnds } from "#protocol/frame-link.ts";
import { type MachineDefinition, NicName, nics } from "#protocol/machine-definition.ts";
import { type Cidr, parseCidr } from "../../durable-objects/policy/cidr.ts";
import type { MachineNic } from "../../emulator/machine/machine-options.ts";
import { macOf, NodeNetwork } from "../headless/node-network.ts";
import { say } from "./words.ts";

export interface NetworkOptions {
  /** Default: `user`, unless the definition says that there is none. */
  readonly net?: "user" | "none";
  readonly netModel?: NicName;
  readonly netAllow?: readonly Cidr[];
}

const rangeArgument = (value: string, before: readonly Cidr[] = []): Cidr[] => {
  const range = parseCidr(value);
  if (!range) throw new InvalidArgumentError("Say a range of addresses, as 192.168.0.0/16.");
  return [...before, range];
};

export const addNetworkOptions = (command: Command): Command =>
  command
    .addOption(
      new Option("--net <kind>", "user: the internet through this program; none: no network card").choices([
        "user",
        "none",
      ]),
    )
    .addOption(
      new Option("--net-model <model>", "network card, instead of the definition's").choices(NicName.options),
    )
    .option(
      "--net-allow <range>",
      "also reach these private addresses; 127.0.0.0/8 is this host, host.virga.internal to the guest (repeat for more)",
      rangeArgument,
    );

export interface Plugged {
  readonly nics: readonly MachineNic[];
  readonly network: NodeNetwork | undefined;
}

/** `name` gives the card its address, the same at every start. */
export function plugNetwork(
  name: string,
  options: NetworkOptions,
  wanted?: MachineDefinition["network"],
): Plugged {
  const kind = options.net ?? (wanted === "none" ? "none" : "user");
  if (kind === "none") return { nics: [], network: undefined };
  const defined = typeof wanted === "object" ? wanted : { model: "virtio-net" as const };
  const [machineEnd, networkEnd] = sharedLinkEnds();
  const network = new NodeNetwork({
    link: openFrameLink(networkEnd),
    allow: options.netAllow ?? [],
    onProhibited: (address) =>
      say(`virga: the machine may not reach ${address}, which is not on the internet: see --net-allow`),
  });
  const nic = options.netModel ? nics[options.netModel] : defined;
  return { nics: [{ ...nic, mac: macOf(name), link: openFrameLink(machineEnd) }], network };
}
