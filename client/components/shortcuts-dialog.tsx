import { For } from "solid-js";
import { Dialog } from "./dialog.tsx";

const shortcuts = [
  ["?", "This list"],
  ["Enter", "Give the keys to the machine"],
  ["Ctrl+Alt, twice", "Take the keys back from the machine"],
  ["Escape", "Take the mouse back from the machine"],
  ["Ctrl+Shift+C", "Copy what is selected in the terminal"],
  ["Ctrl+Shift+V", "Paste into the terminal"],
  ["P", "Pause, or go on"],
  ["D", "Show or hide the details"],
  ["N", "Show or hide the network"],
  ["B", "Show or hide the debugger"],
  ["F", "Full screen"],
] as const;

export function ShortcutsDialog(props: { onClose(): void }) {
  return (
    <Dialog title="Keys" onClose={() => props.onClose()}>
      <p class="muted">Outside the machine's screen:</p>
      <dl class="facts-list keys">
        <For each={shortcuts}>
          {([keys, meaning]) => (
            <>
              <dt>
                <kbd>{keys}</kbd>
              </dt>
              <dd>{meaning}</dd>
            </>
          )}
        </For>
      </dl>
      <form method="dialog" class="actions">
        <button class="primary">Done</button>
      </form>
    </Dialog>
  );
}
