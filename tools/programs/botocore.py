# requires: botocore
import botocore.session

session = botocore.session.get_session()
assert len(session.get_available_services()) > 300
client = session.create_client("s3", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y")
assert "eu-central-1" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
