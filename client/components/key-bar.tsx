import { createSignal, For } from "solid-js";

const keys = [
  ["Esc", "\x1b"],
  ["Tab", "\t"],
  ["↑", "\x1b[A"],
  ["↓", "\x1b[B"],
  ["←", "\x1b[D"],
  ["→", "\x1b[C"],
] as const;

const names: { readonly [label: string]: string } = { "↑": "Up", "↓": "Down", "←": "Left", "→": "Right" };

/** The keys that a phone's keyboard lacks, and the button that opens that keyboard. Shown on touch screens only. */
export function KeyBar(props: {
  onType(text: string): void;
  onControl(on: boolean): void;
  onKeyboard(): void;
}) {
  const [control, setControl] = createSignal(false);
  return (
    <div class="key-bar" role="toolbar" aria-label="Keys">
      <button onClick={() => props.onKeyboard()}>Keyboard</button>
      <button
        aria-pressed={control()}
        onClick={() => {
          setControl(!control());
          props.onControl(control());
          props.onKeyboard();
        }}
      >
        Ctrl
      </button>
      <For each={keys}>
        {([label, text]) => (
          <button aria-label={names[label] ?? label} onClick={() => props.onType(text)}>
            {label}
          </button>
        )}
      </For>
    </div>
  );
}
