/** `volumes` and `tmpfs` of a service. Pure. */
import type { Mount } from "../../api/container_spec.ts";
import { resolvedFrom } from "./load.ts";
import { compact, type Scope, stackLabels } from "./scope.ts";
import { Section } from "./section.ts";
import type { Place, Scalar } from "./tree.ts";
import { parseBytes } from "../units.ts";

const PROPAGATIONS = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];

/** The mounts of a service. */
export function mountsOf(scope: Scope, service: Section): Mount[] {
  const volumes = service.items("volumes").flatMap(({ tree, path }) => {
    const mount = tree.kind === "scalar"
      ? shortMount(scope, service, tree, path)
      : longMount(scope, Section.of(tree, path, service.problems));
    return mount ? [mount] : [];
  });
  const place = service.placeOf("tmpfs");
  const tmpfs = (service.textOrTexts("tmpfs") ?? []).flatMap((text) => tmpfsOf(service, place, text));
  return [...volumes, ...tmpfs];
}

/** `[SOURCE:]TARGET[:OPTIONS]` */
function shortMount(scope: Scope, service: Section, scalar: Scalar, path: string): Mount | undefined {
  const [first = "", second, options, ...more] = (scalar.text ?? "").split(":");
  if (more.length > 0 || first === "" || second === "") {
    service.problems.add(scalar.at, path, `want [SOURCE:]TARGET[:OPTIONS], not "${scalar.text}"`);
    return undefined;
  }
  if (second === undefined) return { Type: "volume", Target: first };
  const isBind = /^[./~]/.test(first);
  const mount: Mount = { Type: isBind ? "bind" : "volume", Source: first, Target: second };
  for (const option of options?.split(",") ?? []) {
    if (option === "ro") mount.ReadOnly = true;
    else if (option === "nocopy") mount.VolumeOptions = { NoCopy: true };
    else if (PROPAGATIONS.includes(option)) mount.BindOptions = { Propagation: option };
    else if (!["rw", "z", "Z", "cached", "delegated", "consistent"].includes(option)) {
      service.problems.add(scalar.at, path, `"${option}" is no option of a volume`);
    }
  }
  if (isBind) return { ...mount, Source: hostPath(scope, scalar.at, first) };
  return withVolume(scope, service, mount, scalar.at, path);
}

function longMount(scope: Scope, section: Section): Mount | undefined {
  const Type = section.choice("type", ["volume", "bind", "tmpfs", "image", "npipe", "cluster"] as const);
  const Source = section.text("source"),
    Target = section.text("target"),
    ReadOnly = section.flag("read_only");
  const consistency = section.text("consistency");
  const bind = section.section("bind"), volume = section.section("volume"), tmpfs = section.section("tmpfs");
  const image = section.section("image");
  const BindOptions = bind && compact<NonNullable<Mount["BindOptions"]>>({
    Propagation: bind.choice("propagation", PROPAGATIONS),
    CreateMountpoint: bind.flag("create_host_path"),
  });
  bind?.text("selinux");
  const VolumeOptions = volume && compact<NonNullable<Mount["VolumeOptions"]>>({
    NoCopy: volume.flag("nocopy") || undefined,
    Subpath: volume.text("subpath"),
  });
  const ImageOptions = image &&
    compact<NonNullable<Mount["ImageOptions"]>>({ Subpath: image.text("subpath") });
  const TmpfsOptions = tmpfs && compact<NonNullable<Mount["TmpfsOptions"]>>({
    SizeBytes: tmpfs.bytes("size"),
    Mode: tmpfs.count("mode"),
  });
  for (const each of [section, bind, volume, image, tmpfs]) each?.end();
  if (Type === undefined || Target === undefined) {
    section.problems.add(section.at, section.path, "want a type and a target");
    return undefined;
  }
  const mount: Mount = {
    Type,
    Target,
    ...(Source !== undefined && { Source }),
    ...(ReadOnly && { ReadOnly }),
    ...(consistency !== undefined && { Consistency: consistency }),
    ...(BindOptions && { BindOptions }),
    ...(VolumeOptions && { VolumeOptions }),
    ...(ImageOptions && { ImageOptions }),
    ...(TmpfsOptions && { TmpfsOptions }),
  };
  if (Type === "bind" && Source !== undefined) {
    return { ...mount, Source: hostPath(scope, section.placeOf("source"), Source) };
  }
  return Type === "volume" ? withVolume(scope, section, mount, section.at, section.path) : mount;
}

/** A path on the device: what is relative is so to the file that names it, an absolute one stays as it is written. */
function hostPath(scope: Scope, at: Place, path: string): string {
  if (path.startsWith("/")) return path;
  if (path.startsWith("~")) return `${scope.env("HOME") ?? "/root"}${path.slice(1)}`;
  const folder = scope.folderAt(at);
  const whole = resolvedFrom(folder.startsWith("/") ? folder : `${scope.env("PWD") ?? ""}/${folder}`, path);
  const parts: string[] = [];
  for (const part of whole.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** `mount` of a volume that the top of the file has to define. */
function withVolume(scope: Scope, section: Section, mount: Mount, at: Place, path: string): Mount {
  if (mount.Source === undefined) return mount;
  const volume = scope.definitions.volumes.get(mount.Source);
  if (volume === undefined) {
    section.problems.add(at, path, `volume ${mount.Source} is not defined under volumes`);
    return mount;
  }
  if (volume.external) return { ...mount, Source: volume.name };
  const driver = volume.section.text("driver"), Options = volume.section.labels("driver_opts");
  const DriverConfig = compact<{ Name?: string; Options?: Record<string, string> }>({
    Name: driver,
    Options,
  });
  return {
    ...mount,
    Source: volume.name,
    VolumeOptions: {
      ...mount.VolumeOptions,
      Labels: stackLabels(scope, volume.section.labels("labels")),
      ...(DriverConfig && { DriverConfig }),
    },
  };
}

/** `TARGET[:size=64m,mode=1777]` */
function tmpfsOf(service: Section, at: Place, text: string): Mount[] {
  const [Target = "", options = ""] = text.split(":", 2);
  const TmpfsOptions: NonNullable<Mount["TmpfsOptions"]> = {};
  for (const option of options.split(",").filter((each) => each !== "")) {
    const [key, value = ""] = option.split("=", 2);
    if (key === "size" && /^\d+[bkmg]?$/i.test(value)) TmpfsOptions.SizeBytes = parseBytes("size", value);
    else if (key === "mode" && /^[0-7]+$/.test(value)) TmpfsOptions.Mode = parseInt(value, 8);
    else {service.problems.add(
        at,
        service.pathOf("tmpfs"),
        `"${option}" is no option of a tmpfs: size and mode are`,
      );}
  }
  return [{ Type: "tmpfs", Target, ...(Object.keys(TmpfsOptions).length > 0 && { TmpfsOptions }) }];
}
