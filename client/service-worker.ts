/// <reference lib="webworker" />
/**
 * Keeps the app shell, so that a machine whose blocks are on this device starts without the network.
 *
 * Two rules keep it from ever serving a stale app: a page is asked of the network first and taken from here only when
 * there is none; and files are named by the hash of their content, so one that is here is the one that was asked for.
 * The build puts the list of files in place of `__FILES__`, so a deploy changes this script, and the browser installs
 * it. Disk blocks are not kept here: the storage worker does that, and checks them.
 */
declare const self: ServiceWorkerGlobalScope;
declare const __FILES__: { readonly version: string; readonly paths: readonly string[] };

const shell = `shell-${__FILES__.version}`;
const answers = "answers";
const NETWORK_WAIT_MS = 4000;

self.addEventListener("install", (event) => {
  const fill = async () => {
    const cache = await caches.open(shell);
    await cache.addAll(__FILES__.paths.map((path) => new Request(path, { cache: "reload" })));
    await self.skipWaiting();
  };
  event.waitUntil(fill());
});

self.addEventListener("activate", (event) => {
  const tidy = async () => {
    for (const name of await caches.keys()) if (name !== shell && name !== answers) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

/** The network's answer; without one, what `otherwise` finds here. */
async function networkFirst(
  request: Request,
  otherwise: () => Promise<Response | undefined>,
): Promise<Response> {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(NETWORK_WAIT_MS) });
  } catch (problem) {
    const kept = await otherwise();
    if (kept) return kept;
    throw problem;
  }
}

/** Pages come from the network, or are the page that was installed together with its files. */
const page = (request: Request) => networkFirst(request, async () => (await caches.open(shell)).match("/"));

/** Answers about machines are kept as they were last seen. */
async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(answers);
  const response = await networkFirst(request, () => cache.match(request));
  if (response.ok) await cache.put(request, response.clone());
  return response;
}

async function fileFirst(request: Request): Promise<Response> {
  const cache = await caches.open(shell);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}

/** Who answers a request; `undefined` leaves it to the browser. */
function answerFor(request: Request): Promise<Response> | undefined {
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return undefined;
  if (request.mode === "navigate") return page(request);
  if (/^\/(api\/images($|\/)|virga\.config\.json$)/.test(pathname)) return answer(request);
  return __FILES__.paths.includes(pathname) ? fileFirst(request) : undefined;
}

self.addEventListener("fetch", (event) => {
  const response = answerFor(event.request);
  if (response) event.respondWith(response);
});
