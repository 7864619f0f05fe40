import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

/**
 * A presigned GET (SigV4) for one object. R2 refuses the SDK's default CRC32 parameters in signed requests, hence
 * WHEN_REQUIRED. Imported lazily: the SDK is most of the Worker's size.
 */
export async function presignedGet(
  env: Env,
  endpoint: string,
  key: string,
  expiresIn: number,
): Promise<string> {
  const client = new S3Client({
    endpoint,
    region: "auto",
    forcePathStyle: true,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    credentials: { accessKeyId: env.S3_ACCESS_KEY_ID, secretAccessKey: env.S3_SECRET_ACCESS_KEY },
  });
  return getSignedUrl(client, new GetObjectCommand({ Bucket: env.S3_BUCKET, Key: key }), { expiresIn });
}
