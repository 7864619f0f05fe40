import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { debianSources } from "../../infra/host/apt.ts";
import { hashFiles } from "../../infra/host/hash-files.ts";
import { recipeKey } from "../../infra/images/recipe.ts";

const work = mkdtempSync(join(tmpdir(), "virga-recipe-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("recipe", () => {
  test("the order of packages does not matter, each of their versions does", () => {
    const key = recipeKey("tiny", ["a 1", "b 2"]);
    expect(recipeKey("tiny", ["b 2", "a 1"])).toBe(key);
    expect(recipeKey("tiny", ["a 1", "b 3"])).not.toBe(key);
    expect(recipeKey("debian", ["a 1", "b 2"])).not.toBe(key);
    expect(key).toMatch(/^[0-9a-f]{32}$/);
  });

  test("two checkouts agree; a change, a new name and a new file do not; notes and hidden files do not matter", () => {
    const make = (name: string): string => {
      const root = join(work, name);
      mkdirSync(join(root, "in/deep"), { recursive: true });
      writeFileSync(join(root, "in/a.ts"), "a");
      writeFileSync(join(root, "in/deep/b.sh"), "b");
      return root;
    };
    const [one, two] = [make("one"), make("two")];
    const hash = hashFiles(one, ["in", "missing"]);
    expect(hashFiles(two, ["in", "missing"])).toBe(hash);
    writeFileSync(join(two, "in/README.md"), "words");
    mkdirSync(join(two, "in/.cache"));
    writeFileSync(join(two, "in/.cache/x"), "tool");
    expect(hashFiles(two, ["in"])).toBe(hash);
    writeFileSync(join(two, "in/deep/b.sh"), "B");
    expect(hashFiles(two, ["in"])).not.toBe(hash);
    const three = join(work, "three");
    cpSync(one, three, { recursive: true });
    cpSync(join(three, "in/a.ts"), join(three, "in/c.ts"));
    expect(hashFiles(three, ["in"])).not.toBe(hash);
  });
});

describe("the host's package sources", () => {
  const etc = (files: Record<string, string>): string => {
    const root = mkdtempSync(join(work, "apt-"));
    mkdirSync(join(root, "sources.list.d"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
    return root;
  };

  test("paragraphs: Debian 12 is taken, other suites, other archives and disabled ones are not", () => {
    const sources = debianSources(
      etc({
        "sources.list.d/debian.sources": `Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
# a remark
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Enabled: no
`,
        "sources.list.d/other.sources":
          "Types: deb\nURIs: http://other.example\nSuites: nodistro\nComponents: main\n",
      }),
    );
    expect(sources).toBe(`Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`);
  });

  test("one-line files become paragraphs", () => {
    const sources = debianSources(
      etc({
        "sources.list": `# deb http://old.example bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main non-free # note
deb http://mirror.example/security bookworm-security main
deb-src http://mirror.example/debian bookworm main
deb http://third.example bookworm stable
`,
      }),
    );
    expect(sources.split("\n\n").map((paragraph) => paragraph.trim())).toEqual([
      "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg",
      "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main",
    ]);
  });

  test("a host that says nothing of Debian 12 gives nothing", () => {
    expect(debianSources(etc({ "sources.list": "deb http://mirror.example/ubuntu noble main\n" }))).toBe("");
  });
});
