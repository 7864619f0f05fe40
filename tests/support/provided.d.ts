import "vitest";

declare module "vitest" {
  /** What set-ups hand to their tests through inject(). */
  interface ProvidedContext {
    /** Of the browser tests. */
    appUrl: string;
    /** Of the tests inside workerd: HTTP on this machine's loopback. */
    worldPort: number;
  }
}
