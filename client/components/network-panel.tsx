import { For, Show } from "solid-js";
import type { FlowRow } from "#protocol/network-messages";
import { describe } from "../failure-text.ts";
import type { Network, NetworkView } from "../machine/create-network.ts";
import * as show from "../numbers.ts";
import { nameWords, quotaWords, reasonWords } from "../refusal-text.ts";
import { Facts } from "./facts.tsx";
import { LanSection } from "./lan-section.tsx";
import { PortsSection } from "./ports-section.tsx";

/** One sentence that is true of the network now. */
export function networkSentence(view: NetworkView): string {
  if (!view.cable) return "The cable is out. The machine sees a card without a link.";
  switch (view.state) {
    case "off":
      return "This machine has no network.";
    case "connecting":
      return "Connecting…";
    case "online":
      return "Connected.";
    case "reconnecting":
      return `The connection was lost; what the machine has open waits.${
        view.retryInMs ? ` Trying again in ${show.seconds(view.retryInMs)}.` : ""
      }`;
    case "refused":
      return "There is no internet here. The machine goes on without.";
    default:
      return view.state satisfies never;
  }
}

/** What this visitor may not do here; nothing to say where everything is open. */
function policyWords({ policy }: NetworkView): string | undefined {
  if (!policy || policy.internet) return undefined;
  return policy.profile === "signed-in"
    ? "This site does not lead to the internet; its own network works."
    : "This site leads to the internet for people who are signed in; its own network works for everybody.";
}

const rate = (bytesPerSecond: number | undefined): string =>
  bytesPerSecond === undefined ? show.unknown : `${show.bytes(Math.round(bytesPerSecond))}/s`;

const stateWords: { readonly [State in FlowRow["state"]]: string } = {
  opening: "opening",
  open: "open",
  closed: "ended",
  refused: "refused",
};

function Flow(props: { flow: FlowRow }) {
  return (
    <li data-state={props.flow.state}>
      <span class="flow-name">
        {props.flow.direction === "in" ? "← " : ""}
        {props.flow.host}
        <span class="muted">
          :{props.flow.port}
          {props.flow.protocol === "udp" ? " UDP" : ""}
        </span>
      </span>
      <span class="flow-bytes">
        <Show when={props.flow.state !== "refused"}>
          {show.bytes(props.flow.receivedBytes)} ↓ {show.bytes(props.flow.sentBytes)} ↑
        </Show>
      </span>
      <span class="muted" title={props.flow.problem}>
        {reasonWords(props.flow.reason) || stateWords[props.flow.state]}
      </span>
    </li>
  );
}

function Recording(props: { network: Network }) {
  const capture = () => props.network.view.stats?.capture;
  return (
    <Show
      when={capture()}
      fallback={
        <div class="actions">
          <button class="quiet" onClick={() => props.network.capture(true)}>
            Record packets
          </button>
        </div>
      }
    >
      {(recorded) => (
        <>
          <p class="muted" role="status">
            {recorded().frames.toLocaleString("en")} packets, {show.bytes(recorded().bytes)}
            {recorded().dropped > 0 ? `; ${recorded().dropped.toLocaleString("en")} did not fit` : ""}.
          </p>
          <div class="actions">
            <button class="primary" onClick={() => props.network.saveCapture()}>
              Save for Wireshark
            </button>
            <button class="quiet" onClick={() => props.network.capture(false)}>
              Stop and forget
            </button>
          </div>
        </>
      )}
    </Show>
  );
}

/** What a person should know for now; said aloud by a screen reader when it comes. */
function Told(props: { words: string | undefined }) {
  return (
    <Show when={props.words}>
      <p class="muted" role="status">
        {props.words}
      </p>
    </Show>
  );
}

/** What the machine's network is doing, and the few things a person may do to it. */
export function NetworkPanel(props: { network: Network; slug: string; invite: string | undefined }) {
  const view = () => props.network.view;
  return (
    <aside class="panel" aria-label="Network">
      <h2>Network</h2>
      <p role="status">{networkSentence(view())}</p>
      <Show when={view().failure}>
        {(failure) => <p class="muted">{`${describe(failure()).title}. ${describe(failure()).advice}`}</p>}
      </Show>
      <Show when={policyWords(view())}>{(words) => <p class="muted">{words()}</p>}</Show>
      <Told words={view().quota && quotaWords(view().quota!)} />
      <Told words={view().failingName && nameWords(view().failingName!)} />
      <div class="actions">
        <Show when={view().state === "refused" || view().state === "reconnecting"}>
          <button class="primary" onClick={() => props.network.reconnect()}>
            Try again now
          </button>
        </Show>
        <Show when={view().state !== "off"}>
          <button
            class="quiet"
            aria-pressed={!view().cable}
            onClick={() => props.network.setCable(!view().cable)}
          >
            {view().cable ? "Pull the cable" : "Plug the cable in"}
          </button>
        </Show>
      </div>
      <Facts
        rows={[
          ["Round trip", show.seconds(view().stats?.rttMs ?? undefined)],
          ["Down", rate(view().stats?.receivedPerSecond)],
          ["Up", rate(view().stats?.sentPerSecond)],
          ["Received so far", show.bytes(view().stats?.receivedBytes)],
          ["Sent so far", show.bytes(view().stats?.sentBytes)],
          ["Packets lost here", view().stats?.droppedFrames.toLocaleString("en") ?? show.unknown],
        ]}
      />
      <h2>Connections</h2>
      <Show
        when={view().flows.length > 0}
        fallback={<p class="muted">What the machine connects to is listed here.</p>}
      >
        <ul class="flows">
          <For each={view().flows}>{(flow) => <Flow flow={flow} />}</For>
        </ul>
      </Show>
      <Show when={view().kind === "tunnel" && view().state !== "refused"}>
        <PortsSection announced={view().ports} whose={{ machine: view().machine, lan: props.invite }} />
        <LanSection slug={props.slug} joined={props.invite} />
      </Show>
      <Show when={view().state !== "off"}>
        <h2>Packets</h2>
        <Recording network={props.network} />
      </Show>
    </aside>
  );
}
