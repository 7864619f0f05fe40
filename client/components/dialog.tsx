import { onMount, type JSX } from "solid-js";

/** A native dialog: the browser keeps the focus inside, closes it on Escape and gives the focus back. */
export function Dialog(props: { title: string; onClose(): void; children: JSX.Element }) {
  let dialog!: HTMLDialogElement;
  onMount(() => dialog.showModal());
  return (
    <dialog ref={dialog} aria-label={props.title} onClose={() => props.onClose()}>
      <h2>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** Asks before something is lost; the safe answer has the focus. */
export function Confirm(props: { title: string; lost: string; action: string; onYes(): void; onNo(): void }) {
  return (
    <Dialog title={props.title} onClose={() => props.onNo()}>
      <p>{props.lost}</p>
      <form method="dialog" class="actions">
        <button autofocus>Keep it</button>
        <button type="button" class="danger" onClick={() => props.onYes()}>
          {props.action}
        </button>
      </form>
    </Dialog>
  );
}
