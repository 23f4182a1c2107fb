"""AWS Lambda's Invoke on this machine: deployed zips, run by AWS's own runtime interface client."""
