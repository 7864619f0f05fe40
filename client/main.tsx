import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import { Route, Router } from "@solidjs/router";
import { createEffect, lazy } from "solid-js";
import { render } from "solid-js/web";
import { DroppedFile } from "./components/dropped-file.tsx";
import { settings } from "./machine/settings.ts";
import { registerServiceWorker } from "./register-service-worker.ts";
import { Browser } from "./routes/browser.tsx";
import { Gallery } from "./routes/gallery.tsx";
import { NotFound } from "./routes/not-found.tsx";
import "./styles/look.css";

const Machine = lazy(() => import("./routes/machine.tsx"));

function App() {
  createEffect(() => {
    const { theme } = settings.resolved().values;
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
  });
  return (
    <>
      <Router>
        <Route path="/" component={Gallery} />
        <Route path="/m/:slug" component={Machine} />
        <Route path="/browser" component={Browser} />
        <Route path="*" component={NotFound} />
      </Router>
      <DroppedFile />
    </>
  );
}

/** After a deploy the old page's later files are gone: the new page has them. */
window.addEventListener("vite:preloadError", () => location.reload());

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
render(() => <App />, root);
registerServiceWorker();
