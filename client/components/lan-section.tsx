import { createSignal, Show } from "solid-js";
import type { Failure } from "#protocol/failure";
import { describe } from "../failure-text.ts";
import { inviteUrl, makeLan } from "../machine/sharing.ts";

/** A network that machines of several people share, and the address that lets one join. */
export function LanSection(props: { slug: string; joined: string | undefined }) {
  const [made, setMade] = createSignal<string>();
  const [trouble, setTrouble] = createSignal<Failure>();
  const [copied, setCopied] = createSignal(false);
  const invite = () => made() ?? props.joined;
  const url = () => {
    const known = invite();
    return known && inviteUrl(props.slug, known);
  };

  async function make(): Promise<void> {
    const outcome = await makeLan();
    setTrouble(outcome.ok ? undefined : outcome.failure);
    if (outcome.ok) setMade(outcome.value);
  }
  async function copy(text: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      setCopied(false);
    }
  }

  return (
    <section class="sharing">
      <h2>Network with others</h2>
      <Show
        when={url()}
        fallback={
          <>
            <p class="muted">Machines of other people can be on one network with this one.</p>
            <div class="actions">
              <button class="quiet" onClick={() => void make()}>
                Make a network
              </button>
            </div>
          </>
        }
      >
        {(address) => (
          <>
            <p class="muted">
              {props.joined === invite()
                ? "This machine is on it. Whoever has the address below can join."
                : "Open the address below to join with this machine; whoever has it can join."}
            </p>
            <div class="actions">
              <a class="button quiet" href={address()} target="_self">
                {props.joined === invite() ? "Start again in it" : "Join"}
              </a>
              <button class="quiet" onClick={() => void copy(address())}>
                {copied() ? "Copied" : "Copy the address"}
              </button>
            </div>
          </>
        )}
      </Show>
      <Show when={trouble()}>
        {(failure) => <p role="alert">{`${describe(failure()).title}. ${describe(failure()).advice}`}</p>}
      </Show>
    </section>
  );
}
