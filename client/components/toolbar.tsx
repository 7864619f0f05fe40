import { A } from "@solidjs/router";
import { Show } from "solid-js";
import type { MachineView } from "../machine/create-machine.ts";
import type { NetworkState } from "#protocol/network-messages";
import { Icon } from "./icons.tsx";

export interface ToolbarProps {
  name: string;
  view: MachineView;
  details: boolean;
  debugger: boolean;
  network: boolean;
  networkState: NetworkState;
  screen: "terminal" | "screen";
  onStart(): void;
  onPause(): void;
  onReset(): void;
  onPower(): void;
  onFullScreen(): void;
  onDetails(): void;
  onDebugger(): void;
  onNetwork(): void;
  onSettings(): void;
  onScreen(): void;
  onPicture(): void;
}

const stateWords: { readonly [Phase in MachineView["phase"]]: string } = {
  off: "Off",
  starting: "Starting",
  running: "Running",
  paused: "Paused",
  failed: "Stopped",
};

/** A machine that waits for the network stands still, whatever it was told to do. */
const shownPhase = ({ phase, storage }: MachineView): MachineView["phase"] =>
  phase === "running" && storage.state === "offline" ? "paused" : phase;

export function Toolbar(props: ToolbarProps) {
  const isOn = () => ["starting", "running", "paused"].includes(props.view.phase);
  return (
    <header class="toolbar">
      <A class="button quiet" href="/" aria-label="All machines">
        <Icon name="back" />
      </A>
      <h1>{props.name}</h1>
      <span class="state" data-phase={shownPhase(props.view)}>
        {stateWords[shownPhase(props.view)]}
      </span>
      <span class="push" />
      <Show
        when={isOn()}
        fallback={
          <button class="primary" onClick={() => props.onStart()}>
            <Icon name="play" />
            Start
          </button>
        }
      >
        <button
          class="quiet"
          aria-label={props.view.phase === "paused" ? "Go on" : "Pause"}
          disabled={props.view.phase === "starting"}
          onClick={() => props.onPause()}
        >
          <Icon name={props.view.phase === "paused" ? "play" : "pause"} />
          <span class="wide">{props.view.phase === "paused" ? "Go on" : "Pause"}</span>
        </button>
        <button class="quiet" aria-label="Reset" onClick={() => props.onReset()}>
          <Icon name="reset" />
          <span class="wide">Reset</span>
        </button>
        <button class="quiet" aria-label="Power off" onClick={() => props.onPower()}>
          <Icon name="power" />
          <span class="wide">Power off</span>
        </button>
      </Show>
      <Show when={props.view.hasScreen}>
        <button
          class="quiet"
          aria-label="Screen instead of terminal"
          aria-pressed={props.screen === "screen"}
          onClick={() => props.onScreen()}
        >
          <Icon name="screen" />
        </button>
        <Show when={props.screen === "screen"}>
          <button class="quiet" aria-label="Save a picture of the screen" onClick={() => props.onPicture()}>
            <Icon name="camera" />
          </button>
        </Show>
      </Show>
      <button class="quiet" aria-label="Full screen" onClick={() => props.onFullScreen()}>
        <Icon name="full" />
      </button>
      <button
        class="quiet"
        aria-label="Network"
        aria-pressed={props.network}
        data-network={props.networkState}
        onClick={() => props.onNetwork()}
      >
        <Icon name="network" />
      </button>
      <button class="quiet" aria-label="Settings" onClick={() => props.onSettings()}>
        <Icon name="settings" />
      </button>
      <button
        class="quiet"
        aria-label="Debugger"
        aria-pressed={props.debugger}
        onClick={() => props.onDebugger()}
      >
        <Icon name="debugger" />
      </button>
      <button
        class="quiet"
        aria-label="Details"
        aria-pressed={props.details}
        onClick={() => props.onDetails()}
      >
        <Icon name="details" />
      </button>
    </header>
  );
}
