import { createResource, createSignal, For, onMount, Show } from "solid-js";
import type { Failure } from "#protocol/failure";
import type { PortAccess, PublishedPort } from "#protocol/published-port";
import { describe } from "../failure-text.ts";
import { type Whose, listPorts, publishPort, stopPort } from "../machine/sharing.ts";

const accessWords: { readonly [Access in PortAccess]: string } = {
  private: "you",
  link: "who has the link",
  public: "everybody",
};

/** Servers inside the machine as addresses on the web: publish one, see who may reach it, stop it. */
export function PortsSection(props: { announced: readonly { readonly id: string }[]; whose: Whose }) {
  const [ports, { refetch }] = createResource(
    // What the tunnel announces is only that something changed: the list comes from the server.
    () => props.announced.map(({ id }) => id).join() || "none",
    async () => {
      const outcome = await listPorts();
      // Other machines of this visitor list theirs themselves.
      return outcome.ok
        ? outcome.value.filter(({ machine }) => machine === undefined || machine === props.whose.machine)
        : [];
    },
    { initialValue: [] as readonly PublishedPort[] },
  );
  const [trouble, setTrouble] = createSignal<Failure>();
  const [busy, setBusy] = createSignal(false);
  let form!: HTMLFormElement;

  async function run(work: () => Promise<{ ok: true } | { ok: false; failure: Failure }>): Promise<void> {
    setBusy(true);
    const outcome = await work();
    setBusy(false);
    setTrouble(outcome.ok ? undefined : outcome.failure);
    if (outcome.ok) form.reset();
    void refetch();
  }
  function publish(event: SubmitEvent): void {
    event.preventDefault();
    const fields = new FormData(form);
    void run(() => publishPort(Number(fields.get("port")), fields.get("access") as PortAccess, props.whose));
  }
  onMount(() => form.reset());

  return (
    <section class="sharing">
      <h2>Servers in this machine</h2>
      <ul class="flows">
        <For each={ports.latest}>
          {(port) => (
            <li>
              <a
                class="flow-name"
                href={port.access === "private" ? port.openPath : port.url}
                target="_blank"
                rel="noopener"
              >
                Port {port.port}
              </a>
              <button class="quiet" disabled={busy()} onClick={() => void run(() => stopPort(port.id))}>
                Stop
              </button>
              <span class="muted">for {accessWords[port.access]}</span>
            </li>
          )}
        </For>
      </ul>
      <form class="one-line" ref={form} onSubmit={publish}>
        <label>
          <span class="visually-hidden">Port</span>
          <input name="port" type="number" min="1" max="65535" required placeholder="8080" />
        </label>
        <label>
          <span class="visually-hidden">Who may reach it</span>
          <select name="access">
            <For each={Object.entries(accessWords)}>
              {([access, words]) => <option value={access}>for {words}</option>}
            </For>
          </select>
        </label>
        <button class="quiet" disabled={busy()}>
          Publish
        </button>
      </form>
      <Show when={trouble()}>
        {(failure) => <p role="alert">{`${describe(failure()).title}. ${describe(failure()).advice}`}</p>}
      </Show>
    </section>
  );
}
