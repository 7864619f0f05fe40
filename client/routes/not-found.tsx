import { A } from "@solidjs/router";
import { SiteBar } from "../components/site-bar.tsx";

export function NotFound() {
  document.title = "Not here · Virga";
  return (
    <>
      <SiteBar />
      <main class="gallery">
        <div class="lead">
          <h1>There is nothing at this address.</h1>
          <p>
            The link may be old. <A href="/">All machines</A> are on the first page.
          </p>
        </div>
      </main>
    </>
  );
}
