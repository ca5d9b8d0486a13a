/**
 * Prints the bill of materials of a package of Hostler, as CycloneDX. The same parts always make the
 * same bytes.
 *   node scripts/package/sbom.mjs VERSION <PARTS    PARTS: a JSON list of name, version and license
 */
import process from 'node:process';
import { json } from 'node:stream/consumers';
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { z } from 'zod';

const parts = z.array(z.object({ name: z.string(), version: z.string(), license: z.string() }));

const bom = new Models.Bom();
const hostler = new Models.Component(Enums.ComponentType.Application, 'hostler', {
  version: process.argv[2],
  bomRef: 'hostler',
});
hostler.licenses.add(new Models.SpdxLicense('Apache-2.0'));
bom.metadata.component = hostler;
for (const { name, version, license } of parts.parse(await json(process.stdin))) {
  const component = new Models.Component(Enums.ComponentType.Library, name, {
    version,
    bomRef: `${name}@${version}`,
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
  });
  const isExpression = /[ ()]/.test(license);
  component.licenses.add(isExpression ? new Models.LicenseExpression(license) : new Models.SpdxLicense(license));
  bom.components.add(component);
  hostler.dependencies.add(component.bomRef);
}
const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
process.stdout.write(`${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`);
