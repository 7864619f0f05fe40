import { Show } from "solid-js";
import type { Failure } from "#protocol/failure";
import { codeOf, describe } from "../failure-text.ts";

/** A card over the dimmed screen: what happened, what is safe, and the way on. */
export function Trouble(props: { failure: Failure; onRetry(): void; onRestart?: (() => void) | undefined }) {
  const words = () => describe(props.failure);
  return (
    <section class="trouble" role="alert">
      <h2>{words().title}</h2>
      <p>{words().safe}</p>
      <p>{words().advice}</p>
      <div class="actions">
        <Show when={words().retryable}>
          <button class="primary" onClick={() => props.onRetry()}>
            Try again
          </button>
        </Show>
        <Show when={props.onRestart}>
          {(restart) => <button onClick={() => restart()()}>Start again</button>}
        </Show>
      </div>
      <p class="code">{codeOf(props.failure)}</p>
    </section>
  );
}
