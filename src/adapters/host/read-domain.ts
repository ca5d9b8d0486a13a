/** Reads the XML of a libvirt domain; a large document is parsed in its own thread. */
import { DOMParser, type Element } from '@xmldom/xmldom';
import { invalidFields } from '../../domain/model/errors.js';
import type { DomainDevice, DomainDisks } from '../../domain/verbs/find-root-disk.js';

export const FIELD = 'domain_xml';

/** Fails with INVALID_FIELD. */
export function readDomain(xml: string): DomainDisks {
  const domain = parse(xml);
  if (domain?.tagName !== 'domain') throw refused('must be a libvirt domain');
  const devices = child(domain, 'devices');
  const os = child(domain, 'os');
  const osType = os && child(os, 'type')?.textContent?.trim();
  const devicesOf = (kind: string) => (devices === undefined ? [] : children(devices, kind).map(deviceOf));
  return {
    virtType: domain.getAttribute('type') ?? '',
    ...(osType === undefined ? {} : { osType }),
    filesystems: devicesOf('filesystem'),
    disks: devicesOf('disk'),
  };
}

function parse(xml: string): Element | null {
  // Checked before parsing: entities make XML dangerous, and libvirt writes none.
  if (/<!(?:DOCTYPE|ENTITY)/i.test(xml)) throw refused('must not have a document type or entities');
  try {
    const onError = (_level: string, message: string) => {
      throw new Error(message);
    };
    return new DOMParser({ onError, locator: false }).parseFromString(xml, 'text/xml').documentElement;
  } catch (error) {
    const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw refused(`is no well-formed XML: ${line.slice(0, 200)}`);
  }
}

/** The child elements with this name. */
function children(parent: Element, name: string): Element[] {
  const found: Element[] = [];
  for (let node = parent.firstChild; node !== null; node = node.nextSibling)
    if (isElement(node) && node.tagName === name) found.push(node);
  return found;
}

/** The first child element with this name. */
function child(parent: Element, name: string): Element | undefined {
  return children(parent, name)[0];
}

function isElement(node: { readonly nodeType: number }): node is Element {
  return node.nodeType === 1;
}

function deviceOf(device: Element): DomainDevice {
  const [source, driver] = [child(device, 'source'), child(device, 'driver')];
  const attribute = (name: string) => source?.getAttribute(name) ?? undefined;
  const driverType = driver?.getAttribute('type') ?? undefined;
  return {
    source: {
      file: attribute('file'),
      dev: attribute('dev'),
      dir: attribute('dir'),
      name: attribute('name'),
      protocol: attribute('protocol'),
    },
    ...(driverType === undefined ? {} : { driverType }),
    ...attributeOf(device, 'device', 'kind'),
    ...attributeOf(child(device, 'target'), 'dir', 'target'),
    ...bootOrderOf(child(device, 'boot')?.getAttribute('order') ?? ''),
  };
}

function attributeOf<K extends string>(element: Element | undefined, name: string, key: K): Partial<Record<K, string>> {
  const found: Partial<Record<K, string>> = {};
  const value = element?.getAttribute(name) ?? '';
  if (value !== '') found[key] = value;
  return found;
}

function bootOrderOf(text: string): { readonly bootOrder?: number } {
  return /^[1-9]\d{0,8}$/.test(text) ? { bootOrder: Number(text) } : {};
}

/** INVALID_FIELD for the field that holds the domain's XML. */
export function refused(description: string) {
  return invalidFields([{ field: FIELD, description }]);
}
