import "vitest";

declare module "vitest" {
  /** What the set-up of the browser tests hands to them through inject(). */
  interface ProvidedContext {
    appUrl: string;
  }
}
