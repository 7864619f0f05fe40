import { Show } from "solid-js";
import type { Command } from "#protocol/machine-messages";
import type { MachineView } from "../machine/create-machine.ts";
import { GraphicsScreen, type GraphicsScreenHandle } from "./graphics-screen.tsx";
import { TextScreen } from "./text-screen.tsx";

export interface MachineScreenProps {
  view: MachineView;
  label: string;
  scaling: "fit" | "whole";
  onGraphics(handle: GraphicsScreenHandle | undefined): void;
  onCommand(command: Command): void;
  onLeave(): void;
}

/** What the guest's display shows: text or graphics, as the guest has set it. */
export function MachineScreen(props: MachineScreenProps) {
  const drawn = () => (props.view.screenMode.kind === "graphics" ? props.view.screenMode : undefined);
  const keys = (scanCodes: Uint8Array) => props.onCommand({ type: "keyboard", scanCodes });
  return (
    <Show
      when={drawn()}
      fallback={
        <Show when={props.view.screen}>
          {(text) => (
            <TextScreen screen={text()} label={props.label} onKeys={keys} onLeave={() => props.onLeave()} />
          )}
        </Show>
      }
    >
      {(size) => (
        <GraphicsScreen
          width={size().width}
          height={size().height}
          label={props.label}
          scaling={props.scaling}
          onReady={(handle) => props.onGraphics(handle)}
          onWant={(whole) => props.onCommand({ type: "frame-wanted", whole })}
          onKeys={keys}
          onMouse={(move) => props.onCommand({ type: "mouse", ...move })}
          onLeave={() => props.onLeave()}
        />
      )}
    </Show>
  );
}
