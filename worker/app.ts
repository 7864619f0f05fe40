/** What Hono's routes know of where they run. */
export interface App {
  Bindings: Env;
}
