"""AWS::IAM: roles with their policies, and identity providers."""

from __future__ import annotations

from localaws.cloudformation.resource_types import (
    Context,
    Properties,
    ResourceType,
    chosen,
    json_text,
    tag_list,
    without_missing,
)


class Role(ResourceType):
    name = "AWS::IAM::Role"
    name_property = "RoleName"
    replaced_by = frozenset({"RoleName"})
    properties = frozenset(
        {
            "RoleName",
            "AssumeRolePolicyDocument",
            "Description",
            "ManagedPolicyArns",
            "MaxSessionDuration",
            "Policies",
            "Tags",
        }
    )

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": f"arn:aws:iam::{context.stack.account}:role/{physical_id}"}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:
        context.call(
            "iam",
            "create_role",
            RoleName=physical_id,
            AssumeRolePolicyDocument=json_text(properties["AssumeRolePolicyDocument"]),
            Tags=tag_list(context, properties),
            **chosen(properties, "Description", "MaxSessionDuration"),
        )
        self._policies(context, physical_id, {}, properties)

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        iam = context.client("iam")
        trust = json_text(new["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=physical_id, PolicyDocument=trust)
        context.call(
            "iam",
            "update_role",
            RoleName=physical_id,
            Description=new.get("Description", ""),
            MaxSessionDuration=new.get("MaxSessionDuration", 3600),
        )
        iam.tag_role(RoleName=physical_id, Tags=tag_list(context, new))
        self._policies(context, physical_id, old, new)

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:
        iam = context.client("iam")
        for policy in properties.get("Policies") or []:
            without_missing(iam.delete_role_policy, RoleName=physical_id, PolicyName=policy["PolicyName"])
        for arn in properties.get("ManagedPolicyArns") or []:
            without_missing(iam.detach_role_policy, RoleName=physical_id, PolicyArn=arn)
        without_missing(iam.delete_role, RoleName=physical_id)

    def _policies(self, context: Context, role: str, old: Properties, new: Properties) -> None:
        iam = context.client("iam")
        before, after = (
            {
                policy["PolicyName"]: json_text(policy["PolicyDocument"])
                for policy in part.get("Policies") or []
            }
            for part in (old, new)
        )
        for name, document in after.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
        for name in before.keys() - after.keys():
            without_missing(iam.delete_role_policy, RoleName=role, PolicyName=name)
        attached, wanted = (set(part.get("ManagedPolicyArns") or []) for part in (old, new))
        for arn in wanted - attached:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        for arn in attached - wanted:
            without_missing(iam.detach_role_policy, RoleName=role, PolicyArn=arn)


class OpenIdConnectProvider(ResourceType):
    name = "AWS::IAM::OIDCProvider"
    name_property = "Url"
    name_length = 255
    replaced_by = frozenset({"Url", "ThumbprintList"})
    properties = frozenset({"Url", "ClientIdList", "ThumbprintList", "Tags"})

    def physical_id(self, context: Context, name: str) -> str:
        place = name.removeprefix("https://")
        return f"arn:aws:iam::{context.stack.account}:oidc-provider/{place}"

    def attributes(self, context: Context, physical_id: str, properties: Properties) -> Properties:  # noqa: ARG002
        return {"Arn": physical_id}

    def create(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        context.client("iam").create_open_id_connect_provider(
            Url=properties["Url"],
            ClientIDList=properties.get("ClientIdList", []),
            ThumbprintList=properties.get("ThumbprintList", []),
            Tags=tag_list(context, properties),
        )

    def update(self, context: Context, physical_id: str, old: Properties, new: Properties) -> None:
        iam = context.client("iam")
        before, after = (set(part.get("ClientIdList", [])) for part in (old, new))
        for client in after - before:
            iam.add_client_id_to_open_id_connect_provider(
                OpenIDConnectProviderArn=physical_id, ClientID=client
            )
        for client in before - after:
            iam.remove_client_id_from_open_id_connect_provider(
                OpenIDConnectProviderArn=physical_id, ClientID=client
            )

    def delete(self, context: Context, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        iam = context.client("iam")
        without_missing(iam.delete_open_id_connect_provider, OpenIDConnectProviderArn=physical_id)
