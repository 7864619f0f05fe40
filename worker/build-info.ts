/** What this build is. The bundler writes it (vite.config.ts, vitest.config.ts). */
export interface BuildInfo {
  readonly version: string;
  readonly gitSha: string;
  readonly builtAt: string;
}
declare const VIRGA_BUILD: BuildInfo;

export const buildInfo: BuildInfo = VIRGA_BUILD;
