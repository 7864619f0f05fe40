/** Keeps the app on this device, so that a machine whose blocks are here starts offline. Built pages only. */
export function registerServiceWorker(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  navigator.serviceWorker
    .register("/service-worker.js", { updateViaCache: "none" })
    .catch((problem: unknown) => console.warn("machines will need the network to start", problem));
}
