import { createEffect, createSignal, For, on, Show } from "solid-js";
import type { Command } from "#protocol/machine-messages";
import type { MachineView } from "../machine/create-machine.ts";
import { Facts } from "./facts.tsx";

/** The processor of a machine that is paused: where it stands, its registers, and the code there. */
export function DebuggerPanel(props: { view: MachineView; onCommand(command: Command): void }) {
  const [address, setAddress] = createSignal("");
  const isPaused = () => props.view.phase === "paused";
  const look = (at: string) => props.onCommand({ type: "inspect", address: at });
  // What was shown is old as soon as the machine has run.
  createEffect(on(isPaused, (paused) => paused && look("")));
  return (
    <aside class="panel debugger" aria-label="Debugger">
      <Show
        when={isPaused()}
        fallback={
          <>
            <p>Pause the machine to see the instruction that it is at.</p>
            <button
              disabled={props.view.phase !== "running"}
              onClick={() => props.onCommand({ type: "pause" })}
            >
              Pause
            </button>
          </>
        }
      >
        <div class="actions">
          <button onClick={() => props.onCommand({ type: "step" })}>Step</button>
          <button class="quiet" onClick={() => look("")}>
            Where it stands
          </button>
        </div>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            look(address());
          }}
        >
          <label for="debugger-address">Address</label>
          <input
            id="debugger-address"
            class="mono"
            autocomplete="off"
            spellcheck={false}
            maxLength={24}
            placeholder="ffffffff81000000"
            value={address()}
            onInput={(event) => setAddress(event.currentTarget.value)}
          />
          <button type="submit">Go</button>
        </form>
        <Show when={props.view.inspection}>
          {(seen) => (
            <>
              <Show when={seen().halted}>
                <p>The processor waits for an interrupt. None comes while the machine is paused.</p>
              </Show>
              <Show when={seen().problem}>
                <p role="alert">{seen().problem}</p>
              </Show>
              <ol class="code-lines" aria-label={`Code, ${seen().bits} bits`} tabIndex={0}>
                <For each={seen().code}>
                  {(line) => (
                    <li aria-current={line.current ? "step" : undefined} title={line.bytes}>
                      <span class="muted">{line.address}</span> {line.text}
                    </li>
                  )}
                </For>
              </ol>
              <h2>Registers</h2>
              <Facts rows={seen().registers.map(({ name, value }) => [name, value] as const)} />
            </>
          )}
        </Show>
      </Show>
    </aside>
  );
}
