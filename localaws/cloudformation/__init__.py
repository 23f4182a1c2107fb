"""CloudFormation: stacks and change sets, whose resources are made through the local AWS's own API.

moto's CloudFormation was tried first. It compares templates and not what they come to, so a change of a
parameter is missing from the change set; it neither rolls back nor tells which resource failed; it knows no
alarms, bucket policies or model package groups; and it would be replayed with the journal, SageMaker's part
included. Here every resource is an ordinary request through the gateway, checked and journaled as anybody's.
"""
