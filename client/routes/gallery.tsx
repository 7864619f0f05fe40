import { A } from "@solidjs/router";
import { createResource, For, Match, onCleanup, onMount, Show, Switch } from "solid-js";
import type { CatalogueEntry } from "#protocol/machine-definition";
import { SiteBar } from "../components/site-bar.tsx";
import { Trouble } from "../components/trouble.tsx";
import { listImages } from "../machine/catalogue.ts";
import * as show from "../numbers.ts";

/** While something is being built the list is asked for again, so that it appears by itself. */
const POLL_MS = 3000;

function facts({ definition, sizeBytes }: CatalogueEntry): string {
  if (!definition) return "";
  return `64-bit · ${definition.memoryMiB} MB memory · ${show.bytes(sizeBytes)} disk`;
}

/** What the machine's own console says when it is ready, as its picture. */
function Card(props: { image: CatalogueEntry }) {
  const ready = () => props.image.state === "ready" && props.image.definition !== null;
  return (
    <li class="card" aria-busy={!ready()}>
      <div class="shot" aria-hidden="true">
        {ready() ? `${props.image.definition?.ready ?? ""}▮` : ""}
      </div>
      <div class="body">
        <h3>
          <Show when={ready()} fallback={props.image.name}>
            <A href={`/m/${props.image.slug}`}>{props.image.name}</A>
          </Show>
        </h3>
        <p>{props.image.description}</p>
        <p class="facts number">{ready() ? facts(props.image) : "Being built; it appears here by itself."}</p>
      </div>
    </li>
  );
}

export function Gallery() {
  document.title = "Virga";
  const [listing, { refetch }] = createResource(listImages);
  const images = () => {
    const outcome = listing.latest;
    return outcome?.ok ? outcome.value : undefined;
  };
  const failure = () => {
    const outcome = listing.latest;
    return outcome && !outcome.ok ? outcome.failure : undefined;
  };
  onMount(() => {
    const timer = setInterval(() => {
      const waiting =
        images()?.some(({ state }) => state === "building") || images()?.length === 0 || failure();
      if (waiting && !document.hidden) void refetch();
    }, POLL_MS);
    onCleanup(() => clearInterval(timer));
  });
  return (
    <>
      <SiteBar />
      <main class="gallery">
        <div class="lead">
          <h1>A real PC, in this tab.</h1>
          <p>
            Pick a machine and it starts here, on your own processor. Its disk streams in as it is read; what
            you change stays with you.
          </p>
        </div>
        <section class="shelf" aria-labelledby="shared">
          <h2 id="shared">Start from</h2>
          <Switch fallback={<p class="muted">Asking for the list of machines…</p>}>
            <Match when={failure()}>
              {(problem) => <Trouble failure={problem()} onRetry={() => void refetch()} />}
            </Match>
            <Match when={images()?.length === 0}>
              <p class="muted">
                No machine is published here yet.{" "}
                <code>npx virga publish disk.img --name "My disk" --slug my-disk</code> adds one.
              </p>
            </Match>
            <Match when={images()}>
              {(found) => (
                <ul class="cards">
                  <For each={found()}>{(image) => <Card image={image} />}</For>
                </ul>
              )}
            </Match>
          </Switch>
        </section>
      </main>
    </>
  );
}
