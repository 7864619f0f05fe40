/** Line icons on a 16-unit grid; decoration, so hidden from assistive technology: the button says what it does. */
const paths = {
  back: "M10 3 5 8l5 5",
  pause: "M5 3v10M11 3v10",
  play: "M5 3l8 5-8 5z",
  reset: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  power: "M8 2v6M4.5 4.5a5 5 0 1 0 7 0",
  full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  details: "M2 3h12v10H2zM10 3v10",
  debugger: "M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10h3",
  settings: "M3 4h10M3 8h10M3 12h10M6 2.5v3M10 6.5v3M5 10.5v3",
  network: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM2 8h12M8 2c-4 4-4 8 0 12M8 2c4 4 4 8 0 12",
  screen: "M2 3h12v8H2zM6 14h4",
  camera: "M2 5h3l1-2h4l1 2h3v8H2zM8 7a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  keyboard: "M1.5 4.5h13v7h-13zM4 7h.5M7 7h.5M10 7h.5M5 9.5h6",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.5.2-.6.5-.6 1.1M8 11.5v.5",
} as const;

export function Icon(props: { name: keyof typeof paths }) {
  return (
    <svg viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[props.name]} />
    </svg>
  );
}
