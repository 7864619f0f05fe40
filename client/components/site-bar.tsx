import { A } from "@solidjs/router";

/** The line of cloud with four falling strokes, the name, and the way to every page. */
export function SiteBar() {
  return (
    <header class="bar">
      <A class="wordmark" href="/">
        <svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true">
          <path d="M3 5h14" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
          <path class="strokes" d="M5 9v7M9 9v4.5M13 9v6M16 9v2.5" stroke-width="2" stroke-linecap="round" />
        </svg>
        Virga
      </A>
      <nav aria-label="Main">
        <A href="/" end>
          Machines
        </A>
        <A href="/browser">This browser</A>
      </nav>
    </header>
  );
}
