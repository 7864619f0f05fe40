import { createSignal, onCleanup, onMount, Show } from "solid-js";

const SHOWN_MS = 15_000;

/** A file that is dropped on a page replaces it, and a machine that runs there would be gone: this page says a word instead. */
export function DroppedFile() {
  const [name, setName] = createSignal<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true;
  const onDragOver = (event: DragEvent) => {
    if (hasFiles(event)) event.preventDefault();
  };
  const onDrop = (event: DragEvent) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setName(event.dataTransfer?.files[0]?.name ?? "What you dropped");
    clearTimeout(timer);
    timer = setTimeout(() => setName(undefined), SHOWN_MS);
  };
  onMount(() => {
    window.addEventListener("dragover", onDragOver);
    window.addEventListener("drop", onDrop);
    onCleanup(() => {
      window.removeEventListener("dragover", onDragOver);
      window.removeEventListener("drop", onDrop);
      clearTimeout(timer);
    });
  });
  return (
    <Show when={name()}>
      {(file) => (
        <p class="page-words" role="status">
          <b>{file()}</b> was not opened, and nothing was changed. To make a machine of a disk image, publish
          it: <code>npx virga publish</code>.
        </p>
      )}
    </Show>
  );
}
