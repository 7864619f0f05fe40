import { Index } from "solid-js";

/** Rows keep their place, so a new number changes one piece of text and nothing else is laid out again. */
export function Facts(props: { rows: readonly (readonly [string, string])[] }) {
  return (
    <dl class="facts-list">
      <Index each={props.rows}>
        {(row) => (
          <>
            <dt>{row()[0]}</dt>
            <dd>{row()[1]}</dd>
          </>
        )}
      </Index>
    </dl>
  );
}
